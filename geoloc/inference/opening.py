"""What a geolocator needs of a finished run: model, gallery, index, calibration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from geoloc.errors import ConfigError, MismatchError
from geoloc.evaluation.calibration_file import Calibration
from geoloc.inference.continuous import Decoding
from geoloc.inference.modes import RetrievalMode
from geoloc.inference.runs import gallery_folder, read_run
from geoloc.inference.sureness import kept_calibration
from geoloc.models import DualEncoder
from geoloc.models.model_files import load_model
from geoloc.retrieval import Candidates, Gallery, NearestIndex, load_or_build_index


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OpenedRun:
    """The parts of a run that answer.

    Attributes:
        model: the run's.
        searched: its gallery, or the candidates of a mode.
        index: of them; None for the exact one.
        calibration: of the gallery, where there is one.
        decoding: as asked, or what suits these parts.
    """

    model: DualEncoder
    searched: Gallery | Candidates
    index: NearestIndex | None
    calibration: Calibration | None
    decoding: str


def open_run(
    folder: Path,
    *,
    gallery: str | Path | None,
    device: torch.device,
    index: str,
    backbone_weights: str | Path | None,
    mode: RetrievalMode | None,
    decoding: str | None,
) -> OpenedRun:
    """Open a finished run; arguments and errors as `Geolocator.load` has them."""
    places = gallery_folder(folder, read_run(folder), gallery)
    model = load_model(folder / "model", device=str(device), backbone_weights=backbone_weights)
    kept = Gallery.load(places)
    if mode is not None:
        found, searched = mode.open(model, kept, index=index, device=device, run=folder)
        return OpenedRun(
            model=model,
            searched=found,
            index=searched,
            calibration=None,
            decoding=decoding or "argmax",
        )
    known = kept_calibration(folder / "calibration" / places.resolve().name, kept)
    free = gallery is None and known is None
    return OpenedRun(
        model=model,
        searched=kept,
        # The geolocator's own exact search shares the memory of its embeddings.
        index=None if index == "exact" else load_or_build_index(places, index, kept.embedding),
        calibration=known,
        decoding=decoding or ("posterior" if free else "argmax"),
    )


def refuse_unfit(
    fingerprint: str,
    gallery: Gallery | Candidates,
    calibration: Calibration | None,
    decoding: Decoding,
) -> None:
    """Refuse parts that do not belong together.

    Args:
        fingerprint: of the model.
        gallery: or other candidates.
        calibration: where there is one.
        decoding: that is asked for.

    Raises:
        ConfigError: the decoding moves between places that are not there.
        MismatchError: gallery or calibration are of another model.
    """
    if gallery.model_fingerprint != fingerprint:
        raise MismatchError(
            f"gallery {gallery.name!r} was encoded by model {gallery.model_fingerprint[:12]},"
            f" not by {fingerprint[:12]}: build it again with this model"
        )
    if calibration is not None:
        if not isinstance(gallery, Gallery):
            raise MismatchError("a calibration is of a gallery of places, not of images")
        calibration.refuse_another(gallery)
    if decoding != "argmax" and not isinstance(gallery, Gallery):
        raise ConfigError(
            f"decoding {decoding} moves between the places of a gallery: not to be had with "
            "reference images, CSLS, a vote or cells first"
        )
