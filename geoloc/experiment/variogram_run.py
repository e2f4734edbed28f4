"""A semivariogram of a source: estimated, fitted, written, drawn."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from geoloc.errors import ConfigError
from geoloc.experiment.build import Say
from geoloc.experiment.progress import progress_of
from geoloc.experiment.variogram_source import PlacedValues, SourceRequest, read_source
from geoloc.experiment.variogram_text import variogram_report
from geoloc.geodesy import EARTH_RADIUS_KM
from geoloc.geostatistics.accumulator import Engine
from geoloc.geostatistics.bin_weights import Weights
from geoloc.geostatistics.dissimilarity import Dissimilarity
from geoloc.geostatistics.estimate import DEFAULT_GROUPS, estimate_variogram
from geoloc.geostatistics.files import save_variogram, variogram_tree, write_variogram_csv
from geoloc.geostatistics.fitting import fit_best
from geoloc.geostatistics.lag_distance import LagMetric
from geoloc.geostatistics.lags import METRES_IN, LagBins, LagUnit
from geoloc.geostatistics.models import split_sum
from geoloc.geostatistics.replicates import fit_replicates
from geoloc.geostatistics.variogram import Estimator, Variogram
from geoloc.geostatistics.variogram_fit import VariogramFit
from geoloc.inference.devices import usable_device
from geoloc.viz import draw_variogram

VARIOGRAM, TABLE, FIT, PICTURE = "variogram.json", "variogram.csv", "fit.json", "variogram.png"
MOST_FOR_ALL_PAIRS = 45_000
"""Samples up to which all pairs (a thousand million) are compared unless told otherwise."""
SAMPLED_PAIRS = 50_000_000
DEFAULT_CLASSES = {"great_circle": 40, "euclidean": 15}
_FIRST_KM = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BinsRequest:
    """Which lag classes; whatever is left out follows from the metric and the places.

    Attributes:
        count: of classes; 40 on the sphere, 15 in the plane.
        first: lower edge of logarithmic classes in the unit; on the sphere 1 km.
        last: upper edge; on the sphere half the circumference.
        even: upper edge of classes of one width from 0 on; in the plane a third of the diagonal of
            all places. Not together with `first` or `last`.
        unit: of all of these.
    """

    count: int | None = None
    first: float | None = None
    last: float | None = None
    even: float | None = None
    unit: LagUnit = "km"


@dataclass(frozen=True, slots=True, kw_only=True)
class VariogramRequest:
    """What to estimate and fit.

    Attributes:
        source: what to read.
        out: folder of the results.
        bins: lag classes.
        dissimilarity: as in `estimate_variogram`, as are `estimator`, `groups`.
        pairs: all, or how many; None decides by the number of samples.
        models: one or several; of several the one of least AIC is kept.
        weights: as in `fit_variogram`, as is `lag_metric`.
        device: ``auto``, ``cpu`` or ``cuda``.
        seed: of sampled pairs.
    """

    source: SourceRequest
    out: Path
    bins: BinsRequest = dataclasses.field(default_factory=BinsRequest)
    dissimilarity: Dissimilarity | None = None
    estimator: Estimator = "matheron"
    pairs: Literal["all"] | int | None = None
    models: tuple[str, ...] = ("stable",)
    weights: Weights = "n/gamma2"
    lag_metric: LagMetric = "chord"
    groups: int = DEFAULT_GROUPS
    device: str = "auto"
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class VariogramResult:
    """What came of it.

    Attributes:
        variogram: as estimated.
        fit: of the best model.
        others: fits of the other models, by rising AIC.
        files: written, in the order of writing.
        source: in words.
    """

    variogram: Variogram
    fit: VariogramFit
    others: tuple[VariogramFit, ...]
    files: tuple[Path, ...]
    source: str

    def to_text(self) -> str:
        """A table of the fit, what it rests on, and the files."""
        return variogram_report(self.variogram, self.fit, self.others, source=self.source) + (
            "\nwritten: " + ", ".join(str(file) for file in self.files)
        )

    def to_json(self) -> dict[str, Any]:
        """Variogram and fit as one JSON object."""
        return {
            "variogram": variogram_tree(self.variogram),
            "fit": self.fit.to_json(),
            "files": [str(file) for file in self.files],
        }


def run_variogram(request: VariogramRequest, *, say: Say) -> VariogramResult:
    """Estimate, fit, and write OUT/variogram.json, variogram.csv, fit.json and variogram.png.

    Raises:
        CheckpointError: the run that shall embed shards cannot be used.
        ConfigError: choices contradict one another, or this machine has no such device.
        CoordinateError: a place is out of range.
        DataError: the source cannot be used, or there is nothing to fit.
    """
    if not 0 <= request.seed < 2**63:
        raise ConfigError(f"seed must be at least 0 and below 2**63, not {request.seed}")
    for model in request.models:
        # an unknown name is no reason to compare a thousand million pairs first
        split_sum(model)
    device = usable_device(request.device)
    placed = read_source(request.source, say=say)
    variogram = _estimated(request, placed, device=device, say=say)
    fits = _fits(request, variogram)
    title = f"Semivariogram of {Path(request.source.source).name or request.source.source}"
    out = request.out
    files = (out / VARIOGRAM, out / TABLE, out / FIT, out / PICTURE)
    save_variogram(variogram, files[0])
    write_variogram_csv(variogram, files[1])
    fits[0].save(files[2])
    draw_variogram(variogram, files[3], fit=fits[0], title=title)
    told = f"{request.source.source} ({placed.kind})"
    return VariogramResult(
        variogram=variogram, fit=fits[0], others=tuple(fits[1:]), files=files, source=told
    )


def lag_bins(request: BinsRequest, placed: PlacedValues, metric: str) -> LagBins:
    """The lag classes that are asked for.

    Raises:
        ConfigError: they are asked for in two ways, or cannot be.
    """
    count = DEFAULT_CLASSES[metric] if request.count is None else request.count
    logarithmic = request.first is not None or request.last is not None
    if request.even is not None:
        if logarithmic:
            raise ConfigError("even classes begin at 0: give --even, or --first and --last")
        return LagBins.even(count, request.even, unit=request.unit)
    if metric == "euclidean":
        extent = placed.place.max(axis=0) - placed.place.min(axis=0)
        reach = float(np.sqrt(np.square(extent).sum())) / 3.0
        if not logarithmic:
            return LagBins.even(count, reach, unit=request.unit)
        if request.first is None:
            raise ConfigError("logarithmic classes in the plane need --first")
        return LagBins.logarithmic(count, request.first, request.last or reach, unit=request.unit)
    km = METRES_IN["km"] / METRES_IN.get(request.unit, 1.0)
    first = _FIRST_KM * km if request.first is None else request.first
    # a little beyond the antipode, which rounding must not push out
    last = math.ceil(math.pi * EARTH_RADIUS_KM) * km if request.last is None else request.last
    return LagBins.logarithmic(count, first, last, unit=request.unit)


def _estimated(
    request: VariogramRequest, placed: PlacedValues, *, device: torch.device, say: Say
) -> Variogram:
    metric = request.source.metric
    n = len(placed.place)
    pairs = request.pairs
    if pairs is None:
        pairs = "all" if n <= MOST_FOR_ALL_PAIRS else SAMPLED_PAIRS
        if pairs != "all":
            say(f"{n:,} samples: {pairs:,} of their {n * (n - 1) // 2:,} pairs (all: --pairs all)")
    bins = lag_bins(request.bins, placed, metric)
    with progress_of("pairs", unit="pair") as progress:
        variogram = estimate_variogram(
            placed.place,
            placed.values,
            bins=bins,
            dissimilarity=request.dissimilarity,
            estimator=request.estimator,
            pairs=pairs,
            metric=metric,
            groups=request.groups,
            device=device,
            generator=torch.Generator().manual_seed(request.seed),
            engine=Engine(progress=progress),
        )
    provenance: dict[str, Any] = {
        **variogram.provenance,
        **placed.provenance,
        "source": request.source.source,
        "kind": placed.kind,
        "seed": request.seed,
        "device": str(device),
        "torch": torch.__version__,
        "places": hashlib.sha256(placed.place.astype("<f8").tobytes()).hexdigest(),
    }
    return dataclasses.replace(variogram, provenance=provenance)


def _fits(request: VariogramRequest, variogram: Variogram) -> list[VariogramFit]:
    """Fits of all models with their standard errors, that of least AIC first."""
    fits = fit_best(
        variogram,
        dict.fromkeys(request.models),
        weights=request.weights,
        lag_metric=request.lag_metric,
    )
    if variogram.replicate is None:
        return list(fits)
    return [fit_replicates(variogram, fit) for fit in fits]
