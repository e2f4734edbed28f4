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
from geoloc.inference.cell_head import head_cells
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
        cell_score: what cells are told by; ``head`` seeks the best of the cells that the run's own
            head names, and takes no file.
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
        if self.cell_first and (self.name != "place" or self.csls):
            raise ConfigError(
                "--cells and --cell-score are for mode place: give no --references and no --csls"
            )
        if self.cells is not None and self.cell_score == "head":
            raise ConfigError(
                "--cell-score head has the cells that the run's head was trained with: give no "
                "--cells"
            )
        if self.name != "place" and self.references is None:
            raise ConfigError(f"mode {self.name} needs --references FOLDER (see `geoloc embed`)")
        if self.csls and self.references is None and self.calibration is None:
            raise ConfigError(
                "CSLS needs images that tell hubs: --calibration FOLDER or --references FOLDER, "
                "of training or validation images (see `geoloc embed`)"
            )

    @property
    def cell_first(self) -> bool:
        """Whether a cell is sought first."""
        return self.cells is not None or self.cell_score == "head"

    def to_json(self) -> dict[str, object]:
        """The settings by name; folders as text."""
        folders = {"references": self.references, "calibration": self.calibration}
        told: dict[str, object] = {
            name: None if path is None else str(path) for name, path in folders.items()
        }
        told |= {"weight": self.weight, "csls": self.csls, "vote_km": self.vote_km}
        if self.cell_first:
            how = {"cell_score": self.cell_score, "cell_probe": self.cell_probe}
            told |= {"cells": None if self.cells is None else str(self.cells), **how}
        return told

    def open(
        self,
        model: DualEncoder,
        gallery: Gallery,
        *,
        index: str = "exact",
        device: torch.device | str = "cpu",
        run: Path | None = None,
    ) -> tuple[Candidates, NearestIndex]:
        """The candidates, and an index that ranks them.

        Args:
            model: the model of the gallery, in evaluation mode.
            gallery: the places; not looked at by ``image``.
            index: how candidates are searched.
            device: where the model is, and where to search.
            run: folder of the model's run: it has the cells of the head, and keeps CSLS's
                corrections.

        Raises:
            ConfigError: a setting is out of range, there are too few calibration images, or the
                model has no head of cells.
            DataError: a folder of images or a file of cells is missing or damaged.
            MismatchError: another model embedded them, or the head names other cells.
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
            cache = None if run is None else run / CORRECTIONS
            found = found.corrected(told, cache=cache, device=device)
        searched = found.index(self._builder(found, model, run, index=index, device=device))
        if self.vote_km is not None:
            scale = float(model.scale().detach())
            searched = SpatialVoteIndex(
                searched, found.latlon_deg, scale=scale, bandwidth_km=self.vote_km
            )
        return found, searched

    def _builder(
        self,
        found: Candidates,
        model: DualEncoder,
        run: Path | None,
        *,
        index: str,
        device: torch.device | str,
    ) -> Callable[[Tensor], NearestIndex]:
        if not self.cell_first:
            return partial(build_index, index, device=device)
        cells = head_cells(model, run) if self.cells is None else Geocells.load(self.cells)
        return partial(
            CellFirstIndex,
            cell=torch.from_numpy(cells.cells_of_places(found.latlon_deg)),
            score=self.cell_score,
            probe=self.cell_probe,
            scale=float(model.scale().detach()),
            head=model.cell_logits,
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
