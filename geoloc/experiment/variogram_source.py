"""Where the places and values of a semivariogram come from: a folder, a table, shards."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from geoloc.data.feature_cache import FeatureCache
from geoloc.errors import ConfigError, DataError
from geoloc.experiment.build import Say
from geoloc.experiment.embed_run import embed_source
from geoloc.experiment.trained_run import open_trained_run
from geoloc.geostatistics.features import Values
from geoloc.geostatistics.lags import Metric
from geoloc.retrieval import Embedded

_LATITUDE = ("latitude", "lat", "latitude_deg", "lat_deg", "true_lat_deg")
_LONGITUDE = ("longitude", "lon", "lng", "longitude_deg", "lon_deg", "true_lon_deg")
_TABLES = {".csv", ".parquet"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRequest:
    """What to read.

    Attributes:
        source: a folder of `geoloc embed`, a feature cache, an .npz, .csv or .parquet file; or
            shards, with a run.
        column: the scalar of a table; of an .npz the array, by default ``values``.
        run_folder: of the run whose model embeds shards.
        log: whether the natural logarithm of a number is taken, which must be positive.
        metric: with ``euclidean`` tables have columns x, y (and z), and an .npz has ``xy``.
        device: where shards are embedded.
        workers: decoding processes for shards; as in training by default.
        backbone_weights: as in `open_trained_run`.
    """

    source: str
    column: str | None = None
    log: bool = False
    run_folder: Path | None = None
    metric: Metric = "great_circle"
    device: str = "auto"
    workers: int | None = None
    backbone_weights: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlacedValues:
    """Values at places.

    Attributes:
        place: latitude and longitude in degrees, or coordinates in the plane.
        values: (n, feature) or (n,); of a feature cache memory-mapped.
        kind: of the source, in words.
        provenance: what the values were made by, as JSON can hold it.
    """

    place: Float64[np.ndarray, "n axis"]
    values: Values
    kind: str
    provenance: dict[str, Any] = field(default_factory=dict[str, Any])


def read_source(request: SourceRequest, *, say: Say) -> PlacedValues:
    """Read places and values.

    Raises:
        CheckpointError: the run cannot be used.
        ConfigError: the request contradicts itself.
        DataError: there is nothing to read, or it is damaged.
    """
    placed = _read(request, say)
    if len(placed.place) < 2:
        held = "no rows" if not len(placed.place) else "one row, and a pair needs two"
        raise DataError(f"{request.source} has {held}")
    return _logarithm(placed, request.source) if request.log else placed


def _logarithm(placed: PlacedValues, source: str) -> PlacedValues:
    values = np.asarray(placed.values)
    if values.ndim != 1:
        raise ConfigError(f"--log is of one number a sample; {source} holds vectors")
    bad = np.flatnonzero(~(values > 0))
    if len(bad):
        row, count = int(bad[0]), len(bad)
        more = f" ({count:,} rows of {len(values):,} are like it)" if count > 1 else ""
        raise DataError(f"{source}, row {row + 1}: {values[row]:g} has no logarithm{more}")
    return replace(placed, values=np.log(values.astype(np.float64)))


def _read(request: SourceRequest, say: Say) -> PlacedValues:
    path = Path(request.source)
    if request.run_folder is not None:
        return _of_shards(request, request.run_folder, say)
    if path.is_file() and path.suffix in _TABLES:
        return _of_table(path, request)
    if path.is_file() and path.suffix == ".npz":
        return _of_arrays(path, request)
    if request.column is not None:
        raise ConfigError(f"--column names a column of a table; {path} is none")
    if request.metric != "great_circle":
        raise ConfigError(f"places of {path} are latitudes and longitudes: use great circles")
    return _of_folder(path)


def _of_folder(path: Path) -> PlacedValues:
    if (path / "embedded.json").is_file():
        embedded = Embedded.load(path)
        return PlacedValues(
            place=np.array(embedded.latlon_deg),
            values=embedded.embedding,
            kind="folder of geoloc embed",
        )
    if (path / "meta.json").is_file():
        cache = FeatureCache.open(path)
        return PlacedValues(
            place=cache.latlon_deg,
            values=cache.features,
            kind="feature cache",
            provenance={"fingerprint": cache.fingerprint},
        )
    told = (
        f"{path} is no folder of geoloc embed, no feature cache, and no .npz, .csv or .parquet file"
        if path.exists()
        else f"there is nothing at {path}"
    )
    raise DataError(f"{told}; shards need --run RUN, whose model embeds them")


def _of_shards(request: SourceRequest, run_folder: Path, say: Say) -> PlacedValues:
    if request.metric != "great_circle" or request.column is not None:
        raise ConfigError("embeddings of shards are vectors at places on the Earth")
    trained = open_trained_run(
        run_folder, device=request.device, backbone_weights=request.backbone_weights
    )
    say(f"embedding {request.source} by the model of {run_folder}")
    embedded, lost = embed_source(trained, request.source, workers=request.workers)
    return PlacedValues(
        place=embedded.latlon_deg,
        values=embedded.embedding,
        kind="embeddings of shards",
        provenance={
            "run": str(run_folder),
            "model_fingerprint": trained.model.fingerprint(),
            "lost": lost,
        },
    )


def _of_table(path: Path, request: SourceRequest) -> PlacedValues:
    import pandas as pd

    try:
        frame: Any = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a table: {str(error).strip()}") from None
    names = [str(name) for name in frame.columns]
    if request.column is None:
        raise ConfigError(f"name the scalar with --column; {path} has {', '.join(names)}")
    others = [name for name in names if name != request.column]
    wanted = [*_place_columns(path, others, request.metric), request.column]
    if request.column not in names:
        raise DataError(f"{path} has no column {request.column!r}, only {', '.join(names)}")
    numbers = frame[wanted].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    bad = np.flatnonzero(~np.isfinite(numbers).all(axis=1))
    if len(bad):
        row = int(bad[0])
        at = wanted[int(np.flatnonzero(~np.isfinite(numbers[row]))[0])]
        more = f" ({len(bad):,} rows of {len(numbers):,} are like it)" if len(bad) > 1 else ""
        raise DataError(f"{path}, row {row + 1}: no number in {at!r}{more}: leave such rows out")
    return PlacedValues(place=numbers[:, :-1].copy(), values=numbers[:, -1].copy(), kind="table")


def _place_columns(path: Path, names: Sequence[str], metric: Metric) -> list[str]:
    """Names of the columns of places, in order.

    Raises:
        DataError: one is missing or there are several that could be meant.
    """
    if metric == "euclidean":
        wanted = [(axis,) for axis in ("x", "y", "z") if axis != "z" or "z" in _lower(names)]
    else:
        wanted = [_LATITUDE, _LONGITUDE]
    chosen: list[str] = []
    for aliases in wanted:
        found = [name for name in names if name.strip().lower() in aliases]
        if len(found) != 1:
            hint = "" if metric == "euclidean" else " (in the plane: --metric euclidean, x and y)"
            raise DataError(
                f"{path} has {len(found) or 'no'} columns {aliases[0]!r} among "
                f"{', '.join(names)}{hint}"
            )
        chosen.append(found[0])
    return chosen


def _lower(names: Sequence[str]) -> set[str]:
    return {name.strip().lower() for name in names}


def _of_arrays(path: Path, request: SourceRequest) -> PlacedValues:
    place_name = "latlon_deg" if request.metric == "great_circle" else "xy"
    value_name = request.column or "values"
    try:
        with np.load(path, allow_pickle=False) as arrays:
            missing = [name for name in (place_name, value_name) if name not in arrays.files]
            if missing:
                held = ", ".join(arrays.files)
                raise DataError(
                    f"{path} has no array {' and no array '.join(missing)}, only {held}"
                )
            place, values = arrays[place_name], arrays[value_name]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read as .npz: {error}") from None
    if place.dtype.kind not in "fiu" or values.dtype.kind not in "fiu":
        raise DataError(f"{path}: {place_name} and {value_name} must hold real numbers")
    place = place.astype(np.float64)
    place = place[:, None] if place.ndim == 1 else place
    if place.ndim != 2 or values.ndim not in (1, 2) or len(place) != len(values):
        raise DataError(
            f"{path}: {place_name} of shape {place.shape} and {value_name} of shape "
            f"{values.shape}; expected one row a sample in both"
        )
    return PlacedValues(place=place, values=values, kind="arrays")
