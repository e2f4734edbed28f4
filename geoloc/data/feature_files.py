"""The files of a feature cache: what lies where, and the description that is written last."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from geoloc.artifacts import sha256_of
from geoloc.errors import DataError, MismatchError

SCHEMA_VERSION = 2
META = "meta.json"
FEATURES = "features.npy"
SAMPLES = "samples.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureLayout:
    """Where the rows of each shard lie in an .npy file of shape (view, row, feature).

    A view is one block: who reads view 0 alone, as most do, never touches the others, and it has
    the bytes of a cache of one view.

    Attributes:
        rows: of each shard; samples that are lost leave the last of them empty.
        views: of each sample.
        dim: length of a feature.
        dtype: of the features.
    """

    rows: tuple[int, ...]
    views: int
    dim: int
    dtype: str

    @property
    def total(self) -> int:
        """Rows of all shards."""
        return sum(self.rows)

    @property
    def header(self) -> bytes:
        """The first bytes of the file."""
        return npy_header((self.views, self.total, self.dim), self.dtype)

    @property
    def row_bytes(self) -> int:
        """Length of a row."""
        return self.dim * np.dtype(self.dtype).itemsize

    @property
    def file_bytes(self) -> int:
        """Length of the file."""
        return len(self.header) + self.views * self.total * self.row_bytes

    def starts(self, view: int) -> list[int]:
        """The first byte of each shard's rows of a view."""
        begin = len(self.header) + view * self.total * self.row_bytes
        offsets = accumulate(self.rows[:-1], initial=0) if self.rows else ()
        return [begin + offset * self.row_bytes for offset in offsets]


def npy_header(shape: tuple[int, ...], dtype: str) -> bytes:
    """The header of an .npy file (format 1.0) of C order."""
    buffer = io.BytesIO()
    header = {
        "descr": np.lib.format.dtype_to_descr(np.dtype(dtype)),
        "fortran_order": False,
        "shape": shape,
    }
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue()


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
    found = meta.get("schema_version")
    if found != SCHEMA_VERSION:
        raise DataError(
            f"{folder} was written by another version of geoloc (schema {found}, this one reads "
            f"{SCHEMA_VERSION}): delete it, its features are computed again when they are needed"
        )
    if meta.get("complete") is not True:
        raise DataError(f"{path} is not of a complete cache: delete {folder}, build it again")
    return meta


def check_files(folder: Path, meta: Mapping[str, Any], *, verify: bool) -> None:
    """Hold the files against their description.

    Args:
        folder: where they lie.
        meta: see `read_meta`.
        verify: also hash the features, which reads them all; the rest is always hashed.

    Raises:
        DataError: one is missing, cut short or damaged.
    """
    for name, entry in meta["files"].items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != entry["bytes"]:
            raise DataError(f"{path} is missing or cut short: delete {folder}, build it again")
        if (verify or name != FEATURES) and sha256_of(path) != entry["sha256"]:
            raise DataError(f"{path} is damaged (sha256): delete {folder}, build it again")


def refuse_mismatch(
    folder: Path, found: Mapping[str, str], wanted: Mapping[str, str] | None
) -> None:
    """Do nothing where features were computed from what they are wanted from.

    Raises:
        MismatchError: they were not; the parts that differ are named.
    """
    if wanted is None or dict(found) == dict(wanted):
        return
    parts = sorted(k for k in {*found, *wanted} if found.get(k) != wanted.get(k))
    raise MismatchError(
        f"the features in {folder} were computed from another {', '.join(parts)}: delete the "
        "folder to compute them again, or choose another one"
    )
