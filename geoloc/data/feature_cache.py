"""FeatureCache: features of a frozen backbone, computed once and read at random from disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from pyarrow import parquet
from torch import Tensor

from geoloc.artifacts import sha256_of, sync
from geoloc.batch import GeoBatch
from geoloc.data.feature_files import FEATURES, SAMPLES, FeatureWriter, read_meta
from geoloc.errors import DataError, MismatchError


class FeatureCache:
    """Features, places and labels of samples, by row; `open` and `build` make one.

    The features stay on disk (memory-mapped) and only the rows asked for are read.

    Args:
        features: one row a sample.
        samples: a parquet file with key, lat_deg, lon_deg and label (JSON) of each row; the labels
            are read when they are first asked for.
        fingerprint: what the features were computed from.

    Attributes:
        fingerprint: what the features were computed from, by name (backbone, preset, source).
        latlon_deg: places of all rows in degrees, float64.
    """

    def __init__(
        self,
        features: NDArray[Any],
        samples: Path,
        fingerprint: Mapping[str, str],
    ) -> None:
        table: Any = parquet.read_table(samples, columns=["key", "lat_deg", "lon_deg"])
        if features.shape[0] != table.num_rows:
            raise DataError(
                f"{samples.parent} has {features.shape[0]} features, {table.num_rows} samples"
            )
        self._features = features
        self._samples = samples
        self._keys: pa.Array = table.column("key").combine_chunks()
        self._labels: Any = None
        self.fingerprint = dict(fingerprint)
        self.latlon_deg: Float[np.ndarray, "sample 2"] = np.stack(
            [table.column("lat_deg").to_numpy(), table.column("lon_deg").to_numpy()], axis=1
        )

    def __len__(self) -> int:
        return int(self._features.shape[0])

    @property
    def feature_dim(self) -> int:
        """Length of a feature."""
        return int(self._features.shape[1])

    @property
    def features(self) -> NDArray[Any]:
        """All features as they lie on disk, one row a sample: memory-mapped, read-only."""
        return self._features

    def batch(self, rows: Int64[np.ndarray, " row"], *, labels: bool = True) -> GeoBatch:
        """The samples of these rows, features in float32.

        Args:
            rows: which, in any order.
            labels: whether to read what the data set says of them; training has no need to.
        """
        index = pa.array(rows)
        texts = self._label_texts().take(index).to_pylist() if labels else []
        return GeoBatch(
            key=tuple(self._keys.take(index).to_pylist()),
            latlon_deg=torch.from_numpy(self.latlon_deg[rows]),
            feature=torch.from_numpy(self._features[rows].astype(np.float32)),
            label=tuple(json.loads(text) for text in texts),
        )

    def _label_texts(self) -> Any:
        if self._labels is None:
            table: Any = parquet.read_table(self._samples, columns=["label"])
            self._labels = table.column("label").combine_chunks()
        return self._labels

    @classmethod
    def open(
        cls, folder: Path, *, fingerprint: Mapping[str, str] | None = None, verify: bool = False
    ) -> FeatureCache:
        """Open a complete cache.

        Args:
            folder: where it lies.
            fingerprint: what the features must have been computed from; None accepts any.
            verify: also hash the features, which reads them all; the rest is always hashed.

        Raises:
            DataError: there is no cache, or it is incomplete or damaged.
            MismatchError: its features were computed from something else.
        """
        meta = read_meta(folder)
        _refuse_mismatch(folder, meta["fingerprint"], fingerprint)
        for name, entry in meta["files"].items():
            path = folder / name
            if not path.is_file() or path.stat().st_size != entry["bytes"]:
                raise DataError(f"{path} is missing or cut short: delete {folder}, build it again")
            if (verify or name != FEATURES) and sha256_of(path) != entry["sha256"]:
                raise DataError(f"{path} is damaged (sha256): delete {folder}, build it again")
        features = np.load(folder / FEATURES, mmap_mode="r")
        return cls(features, folder / SAMPLES, meta["fingerprint"])

    @classmethod
    def build(
        cls,
        folder: Path,
        batches: Iterable[GeoBatch],
        encode: Callable[[Tensor], Tensor],
        *,
        fingerprint: Mapping[str, str],
        dtype: Literal["float16", "float32"] = "float16",
        progress: Callable[[int], None] | None = None,
    ) -> FeatureCache:
        """Encode every sample and put the cache into place, whole or not at all.

        It is written beside and renamed at the end. What an interrupted build of the same features
        wrote is kept: its batches must come again, in the same order, but are not encoded again.

        Args:
            folder: where the cache is to lie; must not exist yet.
            batches: each sample once, with images.
            encode: images to features, one row each.
            fingerprint: what the features depend on, by name (backbone, preset, source).
            dtype: of the features on disk.
            progress: told how many samples are done, after each batch.

        Raises:
            DataError: a complete cache stands there, there is no sample, a key comes twice, or a
                feature is not finite in `dtype`.
        """
        if folder.exists():
            raise DataError(f"{folder} exists: open it, or delete it to build it again")
        beside = folder.with_name(f".{folder.name}.building")
        with FeatureWriter(beside, np.dtype(dtype), fingerprint) as writer:
            for batch in batches:
                if not writer.skip(batch):
                    writer.add(batch, _encode(batch, encode))
                if progress is not None:
                    progress(writer.count)
            writer.finish()
        beside.rename(folder)
        sync(folder.parent)
        return cls.open(folder, fingerprint=fingerprint)

    @classmethod
    def open_or_build(
        cls,
        folder: Path,
        batches: Callable[[], Iterable[GeoBatch]],
        encode: Callable[[Tensor], Tensor],
        *,
        fingerprint: Mapping[str, str],
        dtype: Literal["float16", "float32"] = "float16",
        progress: Callable[[int], None] | None = None,
    ) -> FeatureCache:
        """`open` where there is a cache, else `build`; `batches` is called only to build.

        Raises:
            DataError: as `open` and `build`.
            MismatchError: the cache was computed from something else.
        """
        if folder.exists():
            return cls.open(folder, fingerprint=fingerprint)
        return cls.build(
            folder, batches(), encode, fingerprint=fingerprint, dtype=dtype, progress=progress
        )


def _encode(batch: GeoBatch, encode: Callable[[Tensor], Tensor]) -> Float[Tensor, "batch feature"]:
    if batch.image is None:
        raise DataError("features are computed from images, and a batch has none")
    with torch.no_grad():
        return encode(batch.image)


def _refuse_mismatch(
    folder: Path, found: Mapping[str, str], wanted: Mapping[str, str] | None
) -> None:
    if wanted is None or dict(found) == dict(wanted):
        return
    parts = sorted(k for k in {*found, *wanted} if found.get(k) != wanted.get(k))
    raise MismatchError(
        f"the features in {folder} were computed from another {', '.join(parts)}: delete the "
        "folder to compute them again, or choose another one"
    )
