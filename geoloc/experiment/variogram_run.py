"""A semivariogram of a source: estimated, fitted, written, drawn."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from geoloc.errors import ConfigError
from geoloc.experiment.build import Say
from geoloc.experiment.progress import progress_of
from geoloc.experiment.variogram_lags import BinsRequest, lag_bins
from geoloc.experiment.variogram_source import PlacedValues, SourceRequest, read_source
from geoloc.experiment.variogram_text import variogram_report
from geoloc.geostatistics.accumulator import Engine
from geoloc.geostatistics.bin_weights import MIN_PAIRS, Weights
from geoloc.geostatistics.dissimilarity import Dissimilarity
from geoloc.geostatistics.estimate import DEFAULT_GROUPS, estimate_variogram
from geoloc.geostatistics.files import save_variogram, variogram_tree, write_variogram_csv
from geoloc.geostatistics.fitting import fit_best
from geoloc.geostatistics.lag_distance import LagMetric
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


@dataclass(frozen=True, slots=True, kw_only=True)
class FitRequest:
    """Which models are fitted, and how: all but `models` as in `fit_variogram`.

    Attributes:
        models: one or several; of several the one of least AIC is kept.
        weights: of the classes.
        lag_metric: what the model takes for lag on the sphere; None for chords. Not in the plane.
        nugget: whether to fit one.
        max_lag: classes beyond are left out; None for a quarter of the circumference.
        min_pairs: classes of fewer pairs are left out.
    """

    models: tuple[str, ...] = ("stable",)
    weights: Weights = "n/gamma2"
    lag_metric: LagMetric | None = None
    nugget: bool = True
    max_lag: float | None = None
    min_pairs: int = MIN_PAIRS


@dataclass(frozen=True, slots=True, kw_only=True)
class VariogramRequest:
    """What to estimate and fit.

    Attributes:
        source: what to read.
        out: folder of the results.
        bins: lag classes.
        dissimilarity: as in `estimate_variogram`, as are `estimator`, `groups`.
        pairs: all, or how many; None decides by the number of samples.
        fit: the models, and how they are fitted.
        device: ``auto``, ``cpu`` or ``cuda``.
        seed: of sampled pairs.
    """

    source: SourceRequest
    out: Path
    bins: BinsRequest = dataclasses.field(default_factory=BinsRequest)
    dissimilarity: Dissimilarity | None = None
    estimator: Estimator = "matheron"
    pairs: Literal["all"] | int | None = None
    fit: FitRequest = dataclasses.field(default_factory=FitRequest)
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
    _refuse(request)
    device = usable_device(request.device)
    placed = read_source(request.source, say=say)
    variogram = _estimated(request, placed, device=device, say=say)
    fits = _fits(request, variogram)
    out = request.out
    files = (out / VARIOGRAM, out / TABLE, out / FIT, out / PICTURE)
    save_variogram(variogram, files[0])
    write_variogram_csv(variogram, files[1])
    fits[0].save(files[2])
    draw_variogram(variogram, files[3], fit=fits[0], title=_title(request.source))
    told = f"{request.source.source} ({placed.kind})"
    return VariogramResult(
        variogram=variogram, fit=fits[0], others=tuple(fits[1:]), files=files, source=told
    )


def _refuse(request: VariogramRequest) -> None:
    """Before any pair is computed: what could only fail later, or mean nothing.

    Raises:
        ConfigError: choices contradict one another, or the results cannot be written.
    """
    if not 0 <= request.seed < 2**63:
        raise ConfigError(f"seed must be at least 0 and below 2**63, not {request.seed}")
    _refuse_fit(request.fit)
    if request.source.metric == "euclidean":
        if request.bins.unit is None:
            raise ConfigError(
                "--metric euclidean needs --unit: which one x and y are in, such as m"
            )
        if request.fit.lag_metric is not None:
            raise ConfigError("--lag-metric is of the sphere: in the plane there is one lag")
    there = next(path for path in (request.out, *request.out.absolute().parents) if path.exists())
    if not there.is_dir():
        raise ConfigError(f"--out {request.out}: {there} is a file, and results need a folder")


def _refuse_fit(fit: FitRequest) -> None:
    for model in fit.models:
        split_sum(model)
    if fit.max_lag is not None and not fit.max_lag > 0:
        raise ConfigError(f"--max-lag must exceed 0, not {fit.max_lag:g}")
    if fit.min_pairs < 1:
        raise ConfigError(f"--min-pairs must be at least 1, not {fit.min_pairs}")


def _title(source: SourceRequest) -> str:
    """What the picture shows: of a table the column too."""
    name = Path(source.source).name or source.source
    if source.column is not None:
        name = f"{source.column} ({name})"
    return f"Semivariogram of {'ln ' if source.log else ''}{name}"


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
        "column": request.source.column,
        "log": request.source.log,
        "seed": request.seed,
        "device": str(device),
        "torch": torch.__version__,
        "places": hashlib.sha256(placed.place.astype("<f8").tobytes()).hexdigest(),
    }
    return dataclasses.replace(variogram, provenance=provenance)


def _fits(request: VariogramRequest, variogram: Variogram) -> list[VariogramFit]:
    """Fits of all models with their standard errors, that of least AIC first."""
    asked = request.fit
    fits = fit_best(
        variogram,
        dict.fromkeys(asked.models),
        weights=asked.weights,
        nugget=asked.nugget,
        lag_metric=asked.lag_metric or "chord",
        max_lag=asked.max_lag,
        min_pairs=asked.min_pairs,
    )
    if variogram.replicate is None:
        return list(fits)
    return [fit_replicates(variogram, fit) for fit in fits]
