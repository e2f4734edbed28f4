"""The geocells that a run's head names: read from the run, and answered by alone."""

from __future__ import annotations

from pathlib import Path

import torch

from geoloc.errors import ConfigError, DataError, MismatchError
from geoloc.models import DualEncoder
from geoloc.regions import Geocells
from geoloc.retrieval import Candidates, CellFirstIndex, NearestIndex

HEAD_CELLS = "cells.parquet"
"""In a run's folder: the cells that its head was trained with."""


def head_cells(model: DualEncoder, run: Path | None) -> Geocells:
    """The cells that the model's head names, as training kept them in the run's folder.

    Args:
        model: of the run.
        run: its folder; None for a model without one.

    Raises:
        ConfigError: the model has no such head.
        DataError: the run keeps no cells, or they are damaged.
        MismatchError: they are not as many as the head names.
    """
    if model.cell_head is None:
        raise ConfigError(
            f"{run or 'the model'} was trained without a head of cells (cells.file is null): take "
            "--cells FILE with --cell-score centroid, max or mass"
        )
    file = None if run is None else run / HEAD_CELLS
    if file is None or not file.is_file():
        raise DataError(
            f"there is no {file or HEAD_CELLS}, the cells that the head was trained with: copy the "
            "file that the run's configuration names (cells.file) there"
        )
    cells, named = Geocells.load(file), model.cell_head.out_features
    if len(cells) != named:
        raise MismatchError(
            f"{file} has {len(cells)} cells, the head names {named}: it was trained with others"
        )
    return cells


@torch.no_grad()
def cells_alone(
    model: DualEncoder, run: Path | None, *, device: torch.device | str, name: str = "cells"
) -> tuple[Candidates, NearestIndex]:
    """No gallery: the mean place of each cell that the head names, the likeliest first.

    Args:
        model: of the run, on `device`.
        run: its folder.
        device: where to compute.
        name: what reports call them.

    Raises:
        ConfigError, DataError, MismatchError: as `head_cells`.
    """
    centre_deg = head_cells(model, run).centre_deg
    embedding = model.embed_places(torch.from_numpy(centre_deg).to(device)).float().cpu()
    candidates = Candidates(
        name=name,
        model_fingerprint=model.fingerprint(),
        latlon_deg=centre_deg,
        embedding=embedding,
    )
    own = torch.arange(len(centre_deg))
    index = CellFirstIndex(
        embedding, own, score="head", head=model.cell_logits, probe=1, device=device
    )
    return candidates, index
