"""The files of a feature cache: how they are written, described and verified."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet
from torch import Tensor

from geoloc.artifacts import sha256_of, sync
from geoloc.batch import GeoBatch
from geoloc.errors import DataError

SCHEMA_VERSION = 1
META = "meta.json"
FEATURES = "features.npy"
SAMPLES = "samples.parquet"
_SAMPLE_SCHEMA = pa.schema(
    [
        ("key", pa.large_string()),
        ("lat_deg", pa.float64()),
        ("lon_deg", pa.float64()),
        ("label", pa.large_string()),
    ]
)


class FeatureWriter:
    """Appends rows to a growing .npy file whose header is put right at the end."""

    def __init__(self, folder: Path, dtype: np.dtype[Any]) -> None:
        self._folder = folder
        self._dtype = dtype
        self._stream: IO[bytes] = (folder / FEATURES).open("wb")
        self._header_bytes = 0
        self._dim: int | None = None
        self._rows: dict[str, list[Any]] = {name: [] for name in _SAMPLE_SCHEMA.names}
        self._seen: set[str] = set()

    def __enter__(self) -> FeatureWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    @property
    def count(self) -> int:
        """Samples written so far."""
        return len(self._rows["key"])

    def add(self, batch: GeoBatch, feature: Tensor) -> None:
        """Append the samples of a batch with their features.

        Raises:
            DataError: a feature is not finite or of another length, or a key was there before.
        """
        with np.errstate(over="ignore"):
            rows = feature.float().cpu().numpy().astype(self._dtype)
        if self._dim is None:
            self._dim = int(rows.shape[1])
            self._write_header(0)
            self._header_bytes = self._stream.tell()
        if rows.shape != (len(batch), self._dim):
            raise DataError(f"features of shape {rows.shape} for {len(batch)} x {self._dim}")
        self._check(batch, rows)
        self._stream.write(rows.tobytes())
        places = batch.latlon_deg.cpu().numpy().astype(np.float64)
        labels = batch.label or ({},) * len(batch)
        self._rows["key"] += batch.key
        self._rows["lat_deg"] += places[:, 0].tolist()
        self._rows["lon_deg"] += places[:, 1].tolist()
        self._rows["label"] += [json.dumps(dict(label)) for label in labels]

    def _check(self, batch: GeoBatch, rows: NDArray[Any]) -> None:
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if bad.size:
            raise DataError(
                f"the feature of sample {batch.key[int(bad[0])]} is not finite in {self._dtype}: "
                "use float32, or look for a damaged image or backbone"
            )
        for key in batch.key:
            if key in self._seen:
                raise DataError(f"the key {key} comes twice: keys must be unique in a data set")
            self._seen.add(key)

    def _write_header(self, count: int) -> None:
        # NumPy pads headers so that a growing first axis never changes their length.
        header = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (count, self._dim),
        }
        np.lib.format.write_array_header_1_0(self._stream, header)

    def finish(self, fingerprint: Mapping[str, str]) -> None:
        """Complete the files, the description last, and bring them to the disk.

        Raises:
            DataError: nothing was added.
        """
        if self.count == 0:
            raise DataError("there is no sample to compute features of: is the source empty?")
        self._stream.seek(0)
        self._write_header(self.count)
        if self._stream.tell() != self._header_bytes:
            raise RuntimeError("the .npy header changed its length")
        self._stream.close()
        parquet.write_table(pa.table(self._rows, schema=_SAMPLE_SCHEMA), self._folder / SAMPLES)
        files = {
            name: {
                "bytes": (self._folder / name).stat().st_size,
                "sha256": sha256_of(self._folder / name),
            }
            for name in (FEATURES, SAMPLES)
        }
        meta = {
            "schema_version": SCHEMA_VERSION,
            "complete": True,
            "count": self.count,
            "feature_dim": self._dim,
            "fingerprint": dict(fingerprint),
            "files": files,
        }
        (self._folder / META).write_text(json.dumps(meta, indent=1), encoding="utf-8")
        for path in (*self._folder.iterdir(), self._folder):
            sync(path)


def read_meta(folder: Path) -> dict[str, Any]:
    """The description of a complete cache.

    Raises:
        DataError: there is none, or of an incomplete cache or another version.
    """
    path = folder / META
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{folder} is no complete feature cache ({error}): delete it, build it again"
        ) from error
    if meta.get("schema_version") != SCHEMA_VERSION or meta.get("complete") is not True:
        raise DataError(f"{path} is not of a complete cache of this version: build it again")
    return meta
