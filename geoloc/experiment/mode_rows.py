"""The retrieval modes as rows of an evaluation, beside its galleries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from geoloc.errors import ConfigError, DataError
from geoloc.experiment.trained_run import TrainedRun
from geoloc.inference.cell_head import cells_alone
from geoloc.inference.modes import ModeName, RetrievalMode
from geoloc.retrieval import Candidates, Embedded, Gallery, NearestIndex


def mode_rows(
    asked: RetrievalMode,
    galleries: Mapping[str, Gallery],
    trained: TrainedRun,
    *,
    index: str,
) -> dict[str, tuple[Candidates, NearestIndex]]:
    """Each mode that was asked for with an index over its candidates, by the name of its row.

    With references these are ``images`` and ``combined`` (with the first gallery's places). CSLS
    adds ``NAME-csls`` for each of them and for each gallery, a vote ``NAME-vote``; with both,
    ``NAME-csls-vote``. Cells add ``NAME-cells`` for each gallery, and a head's cells ``cells``, its
    answers without a gallery (see `cells_alone`).

    Args:
        asked: the settings; each row takes the mode's name that it needs.
        galleries: the evaluation's own, by name.
        trained: the run.
        index: how candidates are searched.

    Raises:
        ConfigError: a gallery has the name of a mode's row, or as `RetrievalMode.open`.
        DataError, MismatchError: as `RetrievalMode.open`.
    """
    found: dict[str, tuple[Candidates, NearestIndex]] = {}
    run = trained.run.path
    for mode, name, gallery in _rows(asked, galleries):
        candidates, searched = mode.open(
            trained.model, gallery, index=index, device=trained.device, run=run
        )
        found[name] = replace(candidates, name=name), searched
    if asked.cell_score == "head":
        found["cells"] = cells_alone(trained.model, run, device=trained.device)
    taken = sorted(galleries.keys() & found.keys())
    if taken:
        raise ConfigError(f"a gallery is called {taken[0]}, as a retrieval mode is: rename it")
    return found


def refuse_shared_images(candidates: Candidates, embedded: Embedded, *, split: str) -> None:
    """Refuse references that are images of the split itself: of one key and one place.

    Raises:
        DataError: saying how many there are.
    """
    mine = {
        (key, *place) for key, place in zip(embedded.key, embedded.latlon_deg.tolist(), strict=True)
    }
    keys = candidates.reference_key or ()
    shared = sum(
        (key, *place) in mine
        for key, place in zip(keys, candidates.latlon_deg[: len(keys)].tolist(), strict=True)
    )
    if shared:
        raise DataError(
            f"{shared:,} of the reference images are images of the split {split}: an image would "
            "be found by itself; take references from other data"
        )


def _rows(
    asked: RetrievalMode, galleries: Mapping[str, Gallery]
) -> Iterator[tuple[RetrievalMode, str, Gallery]]:
    place: ModeName = "place"
    bases = [(place, name, gallery) for name, gallery in galleries.items()]
    if asked.references is not None:
        first = next(iter(galleries.values()))
        bases.append(("image", "images", first))
        bases.append(("combined", "combined", first))
    plain = replace(asked, csls=False, vote_km=None, cells=None, cell_score="centroid")
    settings = {"": plain}
    if asked.csls:
        settings["-csls"] = replace(plain, csls=True)
    if asked.vote_km is not None:
        voted = replace(plain, csls=asked.csls, vote_km=asked.vote_km)
        settings["-csls-vote" if asked.csls else "-vote"] = voted
    if asked.cell_first:
        settings["-cells"] = replace(asked, vote_km=None)
    for ending, each in settings.items():
        for mode, name, gallery in bases:
            if mode != "place" or ending:
                yield replace(each, name=mode), name + ending, gallery
