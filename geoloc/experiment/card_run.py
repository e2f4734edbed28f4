"""The model card of a run: facts, map and text, written beside one another."""

from __future__ import annotations

from pathlib import Path

from geoloc.artifacts import write_text
from geoloc.experiment.build import Say
from geoloc.experiment.card_facts import known_training_places, read_card_facts
from geoloc.experiment.card_text import card_markdown
from geoloc.experiment.run_directory import RunDirectory
from geoloc.viz.coverage_map import draw_coverage_map


def write_card(run: RunDirectory, *, out: Path | None = None, say: Say) -> Path:
    """Write the card and, beside it, STEM_places.png, the map of its training places.

    Args:
        run: with a model; evaluated and calibrated or not, the card says which.
        out: the Markdown file; by default MODEL_CARD.md in the run's folder.
        say: told what is done.

    Raises:
        DataError: the folder is no run, has no model, or what it holds is damaged.
    """
    file = out or run.path / "MODEL_CARD.md"
    say(f"reading {run.path}")
    facts = read_card_facts(run)
    places_deg = known_training_places(run, facts.config)
    figure = None
    if places_deg is not None:
        figure = draw_coverage_map(file.with_name(f"{file.stem}_places.png"), places_deg).name
    write_text(file, card_markdown(facts, figure=figure))
    return file
