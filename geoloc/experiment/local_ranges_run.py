"""Local effective ranges of a source of features: measured, fitted, written."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from geoloc.errors import ConfigError
from geoloc.experiment.build import Say
from geoloc.experiment.progress import progress_of
from geoloc.experiment.variogram_lags import BinsRequest, lag_bins
from geoloc.experiment.variogram_run import MOST_FOR_ALL_PAIRS, SAMPLED_PAIRS
from geoloc.experiment.variogram_source import SourceRequest, read_source
from geoloc.geostatistics import Engine, accumulator_for
from geoloc.inference.devices import usable_device
from geoloc.regions import LocalRanges, local_ranges


@dataclass(frozen=True, slots=True, kw_only=True)
class RangesRequest:
    """What to measure.

    Attributes:
        source: features at places.
        out: JSON to write.
        groups: spatial groups; five in a row make a region.
        pairs: all, or about how many; None decides by the number of samples.
        seed: of sampled pairs.
    """

    source: SourceRequest
    out: Path
    groups: int = 100
    pairs: Literal["all"] | int | None = None
    seed: int = 0


def measure_local_ranges(request: RangesRequest, *, say: Say) -> LocalRanges:
    """Sum pairs by spatial groups, fit each region's variogram, write OUT.

    Raises:
        CheckpointError: the run that shall embed shards cannot be used.
        ConfigError: choices contradict one another, or this machine has no such device.
        DataError: the source cannot be used, or has no structure over distance.
    """
    if request.out.suffix.lower() != ".json":
        raise ConfigError(f"--out {request.out}: local ranges are a .json")
    if not 0 <= request.seed < 2**63:
        raise ConfigError(f"seed must be at least 0 and below 2**63, not {request.seed}")
    placed = read_source(request.source, say=say)
    many = len(placed.place) > MOST_FOR_ALL_PAIRS
    pairs = request.pairs or (SAMPLED_PAIRS if many else "all")
    sums, group = accumulator_for(
        placed.place,
        placed.values,
        bins=lag_bins(BinsRequest(), placed, "great_circle"),
        dissimilarity="squared" if placed.values.ndim == 1 else "cosine",
        groups=request.groups,
        device=usable_device(request.source.device),
    )
    with progress_of("pairs", unit="pair") as progress:
        sums.add(
            placed.place,
            placed.values,
            groups=group,
            pairs=pairs,
            generator=torch.Generator().manual_seed(request.seed),
            engine=Engine(progress=progress),
        )
    found = replace(
        local_ranges(sums, placed.place, group),
        provenance={
            **placed.provenance,
            "source": request.source.source,
            "kind": placed.kind,
            "samples": len(placed.place),
            "pairs": pairs,
            "groups": sums.group_count,
            "seed": request.seed,
            "places": hashlib.sha256(placed.place.astype("<f8").tobytes()).hexdigest(),
        },
    )
    found.save(request.out)
    return found
