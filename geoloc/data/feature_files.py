"""The files of a feature cache: how they are written, described and verified."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from geoloc.artifacts import sha256_of, sync, write_json
from geoloc.batch import GeoBatch
from geoloc.data import sample_parts
from geoloc.data.sample_parts import SampleParts
from geoloc.errors import DataError

SCHEMA_VERSION = 1
META = "meta.json"
FEATURES = "features.npy"
SAMPLES = "samples.parquet"
_BUILDING = "building.json"


class FeatureWriter:
    """Appends rows to a growing .npy file whose header is put right at the end.

    Every few thousand rows all is brought to the disk. Where the folder holds the beginning of the
    same build, `skip` tells which batches are there already.

    Args:
        folder: anything but such a beginning is deleted.
        dtype: of the features.
        fingerprint: what the features depend on, by name.
    """

    def __init__(self, folder: Path, dtype: np.dtype[Any], fingerprint: Mapping[str, str]) -> None:
        self._folder = folder
        self._dtype = dtype
        self._fingerprint = dict(fingerprint)
        self._header_bytes = 0
        self._dim: int | None = None
        self._seen: set[str] = set()
        self._parts = self._begin()
        # Rows given so far; behind them may lie rows of the interrupted build.
        self._count = 0
        self._stream: IO[bytes] = (folder / FEATURES).open("r+b")

    def __enter__(self) -> FeatureWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    @property
    def count(self) -> int:
        """Samples written or found written so far."""
        return self._count

    def skip(self, batch: GeoBatch) -> bool:
        """Whether an interrupted build wrote just this batch as the next; it is passed over then.

        Otherwise all that it wrote from here on is dropped.
        """
        if self._count >= self._parts.saved:
            return False
        if self._parts.keys(self._count, len(batch)) != tuple(batch.key):
            self._drop_rest()
            return False
        self._seen.update(batch.key)
        self._count += len(batch)
        return True

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
        if rows.shape != (len(batch), self._dim):
            raise DataError(f"features of shape {rows.shape} for {len(batch)} x {self._dim}")
        self._check(batch, rows)
        self._stream.seek(self._header_bytes + self._count * self._row_bytes)
        self._stream.write(rows.tobytes())
        self._parts.add(batch)
        self._count += len(batch)
        if self._parts.waiting >= sample_parts.ROWS_A_PART:
            # Features first: what the samples name must be there.
            self._stream.flush()
            sync(self._folder / FEATURES)
            self._parts.save()

    def finish(self) -> None:
        """Complete the files, the description last, and bring them to the disk.

        Raises:
            DataError: nothing was added.
        """
        if self.count == 0:
            raise DataError("there is no sample to compute features of: is the source empty?")
        self._drop_rest()
        self._stream.truncate(self._header_bytes + self._count * self._row_bytes)
        self._write_header(self.count)
        self._stream.close()
        self._parts.merge(self._folder / SAMPLES)
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
            "fingerprint": self._fingerprint,
            "files": files,
        }
        (self._folder / META).write_text(json.dumps(meta, indent=1), encoding="utf-8")
        self._parts.remove()
        (self._folder / _BUILDING).unlink()
        for path in (*self._folder.iterdir(), self._folder):
            sync(path)

    @property
    def _row_bytes(self) -> int:
        return (self._dim or 0) * self._dtype.itemsize

    def _begin(self) -> SampleParts:
        """The samples of an interrupted build of the same features, or of a new one."""
        task = {"fingerprint": self._fingerprint, "dtype": str(self._dtype)}
        try:
            same = json.loads((self._folder / _BUILDING).read_text(encoding="utf-8")) == task
            parts = SampleParts(self._folder)
            if same and parts.saved and self._read_header(rows=parts.saved):
                return parts
        except (OSError, ValueError):
            pass
        self._dim, self._header_bytes = None, 0
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        write_json(self._folder / _BUILDING, task)
        (self._folder / FEATURES).touch()
        return SampleParts(self._folder)

    def _read_header(self, *, rows: int) -> bool:
        with (self._folder / FEATURES).open("rb") as stream:
            np.lib.format.read_magic(stream)
            shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
            self._dim, self._header_bytes = int(shape[1]), stream.tell()
            length = stream.seek(0, 2)
        return dtype == self._dtype and length >= self._header_bytes + rows * self._row_bytes

    def _drop_rest(self) -> None:
        if self._count < self._parts.saved:
            self._parts.keep(self._count)

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
        self._stream.seek(0)
        np.lib.format.write_array_header_1_0(self._stream, header)
        if self._header_bytes not in (0, self._stream.tell()):
            raise RuntimeError("the .npy header changed its length")
        self._header_bytes = self._stream.tell()


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
