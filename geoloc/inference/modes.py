"""The retrieval modes: what a query is compared with, and what is made of the nearest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from geoloc.errors import ConfigError
from geoloc.models import DualEncoder
from geoloc.regions import Geocells
from geoloc.retrieval import (
    Candidates,
    CellFirstIndex,
    CellScore,
    Embedded,
    Gallery,
    NearestIndex,
    SpatialVoteIndex,
    build_index,
    load_references,
)

ModeName: TypeAlias = Literal["place", "image", "combined"]
WEIGHT = 0.5
CORRECTIONS = "corrections"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalMode:
    """How a query is answered.

    Attributes:
        name: ``place`` compares with the places of a gallery, ``image`` with reference images,
            ``combined`` with both (see `geoloc.retrieval.Candidates.of_both`).
        references: folder of the reference images, as `geoloc embed` writes it.
        weight: of the images in ``combined``, 0 to 1; to be chosen on validation images.
        csls: hold hubs among the candidates back (see `geoloc.retrieval.nearness_to_queries`).
        calibration: folder of the embedded images that tell hubs; by default the references.
        vote_km: bandwidth of a vote of the nearest (see `geoloc.retrieval.SpatialVoteIndex`);
            None takes the nearest as it is.
        cells: file of geocells, of which the best is sought first and a place within it then (see
            `geoloc.retrieval.CellFirstIndex`); None compares with all places alike.
        cell_score: what cells are told by.
        cell_probe: how many of the best cells are searched together.

    Raises:
        ConfigError: a folder that it needs is not named, or cells are asked for with anything but
            the places of a gallery.
    """

    name: ModeName = "place"
    references: Path | None = None
    weight: float = WEIGHT
    csls: bool = False
    calibration: Path | None = None
    vote_km: float | None = None
    cells: Path | None = None
    cell_score: CellScore = "centroid"
    cell_probe: int = 8

    def __post_init__(self) -> None:
        if self.cells is not None and (self.name != "place" or self.csls):
            raise ConfigError("--cells is for mode place: give no --references and no --csls")
        if self.name != "place" and self.references is None:
            raise ConfigError(f"mode {self.name} needs --references FOLDER (see `geoloc embed`)")
        if self.csls and self.references is None and self.calibration is None:
            raise ConfigError(
                "CSLS needs images that tell hubs: --calibration FOLDER or --references FOLDER, "
                "of training or validation images (see `geoloc embed`)"
            )

    def to_json(self) -> dict[str, object]:
        """The settings by name; folders as text."""
        folders = {"references": self.references, "calibration": self.calibration}
        told: dict[str, object] = {
            name: None if path is None else str(path) for name, path in folders.items()
        }
        told |= {"weight": self.weight, "csls": self.csls, "vote_km": self.vote_km}
        if self.cells is not None:
            how = {"cell_score": self.cell_score, "cell_probe": self.cell_probe}
            told |= {"cells": str(self.cells), **how}
        return told

    def open(
        self,
        model: DualEncoder,
        gallery: Gallery,
        *,
        index: str = "exact",
        device: torch.device | str = "cpu",
        cache: Path | None = None,
    ) -> tuple[Candidates, NearestIndex]:
        """The candidates, and an index that ranks them.

        Args:
            model: the model of the gallery, in evaluation mode.
            gallery: the places; not looked at by ``image``.
            index: how candidates are searched.
            device: where the model is, and where to search.
            cache: folder that keeps CSLS's corrections.

        Raises:
            ConfigError: a setting is out of range, or there are too few calibration images.
            DataError: a folder of images is missing or damaged.
            MismatchError: another model embedded them.
        """
        mine = model.fingerprint()
        references = (
            None
            if self.references is None
            else load_references(self.references, model_fingerprint=mine)
        )
        found = self._candidates(model, gallery, references, device=device)
        if self.csls:
            told = (
                references
                if self.calibration is None
                else load_references(self.calibration, model_fingerprint=mine)
            )
            assert told is not None
            found = found.corrected(told, cache=cache, device=device)
        scale = float(model.scale().detach())
        searched = found.index(self._builder(found, scale, index=index, device=device))
        if self.vote_km is not None:
            searched = SpatialVoteIndex(
                searched, found.latlon_deg, scale=scale, bandwidth_km=self.vote_km
            )
        return found, searched

    def _builder(
        self, found: Candidates, scale: float, *, index: str, device: torch.device | str
    ) -> Callable[[Tensor], NearestIndex]:
        if self.cells is None:
            return partial(build_index, index, device=device)
        cell = Geocells.load(self.cells).cells_of_places(found.latlon_deg)
        return partial(
            CellFirstIndex,
            cell=torch.from_numpy(cell),
            score=self.cell_score,
            probe=self.cell_probe,
            scale=scale,
            device=device,
        )

    def _candidates(
        self,
        model: DualEncoder,
        gallery: Gallery,
        references: Embedded | None,
        *,
        device: torch.device | str,
    ) -> Candidates:
        if self.name == "place" or references is None:
            return Candidates.of_places(gallery)
        if self.name == "image":
            return Candidates.of_images(references, model_fingerprint=model.fingerprint())
        # Copied: a table read from a file may give places that cannot be written to.
        places = _embedded_places(model, torch.tensor(references.latlon_deg), device)
        return Candidates.of_both(gallery, references, places, weight=self.weight)


@torch.no_grad()
def _embedded_places(model: DualEncoder, latlon_deg: Tensor, device: torch.device | str) -> Tensor:
    parts = [model.embed_places(part.to(device)).float().cpu() for part in latlon_deg.split(4096)]
    return torch.cat(parts)
