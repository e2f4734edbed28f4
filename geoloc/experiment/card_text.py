"""A model card as Markdown; pure functions from facts to text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from geoloc.evaluation.markdown_table import markdown_table, percent
from geoloc.experiment.card_facts import CardFacts
from geoloc.experiment.card_scores import (
    NOT_MEASURED,
    calibration_text,
    evaluation_text,
    front_matter,
)
from geoloc.experiment.training_coverage import AreaCoverage, TrainingCoverage

NOT_RECORDED = "not recorded"


def card_markdown(facts: CardFacts, *, figure: str | None) -> str:
    """The card: front matter that model hubs read, then their headings.

    Headings follow the model cards of Mitchell et al. 2019 in the order that model hubs use. What
    a run does not have is told as not measured or not recorded, never left out.

    Args:
        facts: of the run.
        figure: name of the map of training places beside the card; None where there is none.
    """
    parts = [
        front_matter(facts),
        f"# {facts.name}",
        _summary(facts),
        "## Model details",
        _details(facts),
        "## Uses",
        _uses(),
        "## Bias, risks and limitations",
        _limits(facts),
        "## How to ask it",
        _asking(),
        "## Training data",
        _data(facts),
        "### Where the training places lie",
        _coverage(facts.coverage, figure=figure),
        "## Training procedure",
        _procedure(facts),
        "## Evaluation",
        evaluation_text(facts.measured),
        "## Calibration",
        calibration_text(facts.calibrations),
        "## Environmental impact",
        _impact(facts),
        "## Fingerprints",
        _fingerprints(facts),
        "## Citation and contact",
        "How to cite geoloc: `CITATION.cff`. The architecture is GeoCLIP's (Vivanco Cepeda et al. "
        "2023). This card was written by `geoloc card`; its form follows Mitchell et al. 2019, "
        '"Model cards for model reporting".',
    ]
    return "\n\n".join(parts) + "\n"


def _summary(facts: CardFacts) -> str:
    tower = facts.config.model.image_encoder
    told = (
        "Answers where on Earth an image was taken: an image tower "
        f"({tower.kind}: {tower.name}) and a location encoder meet in "
        f"{facts.config.model.embedding_dim} numbers, and an image is compared with a gallery of "
        "places."
    )
    if not facts.record.get("finished"):
        told += " **The run has not finished: this is the best model so far.**"
    return told


def _details(facts: CardFacts) -> str:
    model, versions = facts.config.model, facts.record.get("versions", {})
    tower = model.image_encoder
    trained = "frozen" if model.frozen_backbone else "trained too"
    stored = "" if facts.model.get("backbone_stored") else ", without the frozen tower's"
    return _list(
        (
            ("image tower", f"{tower.name}, weights {tower.weights or 'random'}, {trained}"),
            ("seen", f"{facts.model['preset']['size']} pixels a side, the middle of the image"),
            ("location encoder", f"sigmas {', '.join(map(str, model.location_encoder.sigmas))}"),
            ("weights stored", f"{facts.model_bytes / 1e6:,.1f} MB{stored}"),
            ("trained", f"{facts.record.get('started', '?')} to {facts.record.get('ended', '?')}"),
            ("geoloc", f"{versions.get('geoloc', '?')}, torch {versions.get('torch', '?')}"),
            ("licence of the weights", NOT_RECORDED),
        )
    )


def _uses() -> str:
    return """**Meant for** research on geolocalization, and for finding the region of images whose
origin matters and harms nobody: archives, ecology, disaster response, checking of published
claims, together with other evidence.

**Not meant for** finding out where a private person is, lives or was; surveillance, targeting,
border or asylum decisions; deciding anything about a person; evidence in itself. The model was
never tested on faces or for any of this. RESPONSIBLE_USE.md of geoloc says who can be harmed and
what an operator must do."""


def _limits(facts: CardFacts) -> str:
    lines = [
        "An answer is a place of the gallery (or between its places): what the gallery lacks "
        "cannot be answered, and there is always an answer, also for a drawing or a room.",
        "Places with few training images are answered worse; see the tables by continent below.",
    ]
    far = [each for each in facts.measured if each.from_training_km is not None]
    for each in far:
        assert each.from_training_km is not None
        low, middle, high = each.from_training_km
        lines.append(
            f"Test split {each.split}: half of its images lie more than {middle:,.0f} km from the "
            f"nearest training place (quartiles {low:,.0f} and {high:,.0f} km); median error "
            f"{each.overall.metrics['median_km']:,.0f} km. Images farther from training than that "
            "must be expected to do worse."
        )
    if not far:
        lines.append(f"Error as a function of the distance to training places: {NOT_MEASURED}.")
    missing = [
        "whether other photographs of the training places or photographers are in the tests "
        "(`geoloc audit` looks for it; a run does not keep its result)",
        "how well doubts (`abstain`) tell images that cannot be located",
        "people, faces, indoor scenes, drawings, edited or generated images, night",
        "images of other years, cameras or compression than the test splits'",
        "attacks: images made to be answered wrongly",
    ]
    if not facts.calibrations:
        missing.insert(0, "whether probabilities mean what they say (`geoloc calibrate`)")
    lines.append(f"{NOT_MEASURED}: {'; '.join(missing)}.")
    return "\n".join(f"- {line}" for line in lines)


def _asking() -> str:
    return """```
geoloc query photo.jpg --run RUN                 # places, probabilities, radii
geoloc explain photo.jpg --run RUN --out why.html  # which part of the image moved the answer
geoloc serve --run RUN                           # over HTTP, coarse by default
```

```python
from geoloc.inference import Geolocator

answer = Geolocator.load("RUN").locate("photo.jpg")
```"""


def _data(facts: CardFacts) -> str:
    rows = [("split", "images", "shards")]
    rows += [
        (split.role, NOT_RECORDED if split.count is None else f"{split.count:,}", split.source)
        for split in facts.splits
    ]
    lines = [f"- {file}: {words}" for file, words in facts.credits.items()] or [
        f"- source and licence: {NOT_RECORDED} (nothing beside the shards says)"
    ]
    return f"{markdown_table(rows)}\n\nSource and licence:\n\n" + "\n".join(lines)


def _coverage(coverage: TrainingCoverage | None, *, figure: str | None) -> str:
    if coverage is None:
        return f"{NOT_MEASURED}: neither the run nor its shards have the training places."
    drawn = (
        f" drawn at random from {coverage.drawn_from:,}, which all figures here rest on"
        if coverage.drawn_from
        else ""
    )
    told = [
        f"{coverage.count:,} training places{drawn}. {coverage.countries} countries hold at least "
        f"one, {coverage.countries_without} none; {coverage.regions:,} of "
        f"{coverage.regions_in_all:,} first-level regions do. Relative density: training places "
        "for the land area, 1 being the mean of all land (Natural Earth's polygons, coast within "
        "25 km counted to the land)."
    ]
    if figure is not None:
        told.append(f"![Training places]({figure})")
    told += [
        _areas("continent", coverage.continents),
        "Countries with the most training places:",
        _areas("country", coverage.most),
        "Large countries (0.2 % of the land or more) with the fewest for their land:",
        _areas("country", coverage.least),
    ]
    return "\n\n".join(told)


def _areas(what: str, areas: Iterable[AreaCoverage]) -> str:
    rows = [(what, "places", "% of places", "% of land", "relative density")]
    rows += [
        (
            area.name,
            f"{area.count:,}",
            percent(area.share),
            percent(area.land_share),
            "·" if area.ratio is None else f"{area.ratio:.2f}",
        )
        for area in areas
    ]
    return markdown_table(rows)


def _procedure(facts: CardFacts) -> str:
    config, training = facts.config, facts.config.training
    return _list(
        (
            ("epochs", f"{training.epochs}, {facts.record.get('steps', '?')} steps"),
            ("batch", f"{config.data.batch_size} images, queue of {config.negatives.queue} places"),
            ("loss", f"{training.loss}, {training.direction.replace('_', ' ')}"),
            ("negatives", f"rule {config.negatives.rule}"),
            (
                "optimizer",
                f"{config.optimizer.name}, learning rate {config.optimizer.learning_rate:g}, "
                f"{config.optimizer.schedule}",
            ),
            ("best model by", _best(facts.record)),
            ("seed", str(config.seed)),
        )
    )


def _best(record: Mapping[str, Any]) -> str:
    best = record.get("best")
    if not isinstance(best, Mapping):
        return "the last step"
    value = f"{best.get('value'):.4g} at step {best.get('step', '?')}"
    return f"{best.get('metric')} of the validation split, {value}"


def _impact(facts: CardFacts) -> str:
    asked = facts.config.training.device
    return _list(
        (
            ("hardware", f"{NOT_RECORDED} (asked for: {asked})"),
            (
                "time",
                NOT_RECORDED
                if facts.seconds is None
                else f"{facts.seconds / 3600:.2f} h from the first start to the last end, breaks "
                "between sessions included",
            ),
            (
                "speed",
                NOT_RECORDED
                if facts.images_per_s is None
                else f"{facts.images_per_s:,.0f} images/s (median of the log; of cached features "
                "where the run caches them)",
            ),
            ("energy and carbon", NOT_MEASURED),
        )
    )


def _fingerprints(facts: CardFacts) -> str:
    model, record = facts.model, facts.record
    rows = [
        ("model", f"`{model.get('fingerprint')}`"),
        ("image tower", f"`{model.get('backbone_fingerprint')}`"),
        ("weights (sha256)", f"`{model.get('weights_sha256')}`"),
        ("configuration", f"`{record.get('config_hash')}`"),
        ("commit of geoloc", f"`{record.get('commit')}`"),
    ]
    rows += [
        (f"gallery {each['name']}", f"{each['count']:,} places, `{each['places_fingerprint']}`")
        for each in facts.galleries
    ]
    return _list(rows)


def _list(rows: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"- {name}: {words}" for name, words in rows)
