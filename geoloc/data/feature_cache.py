"""FeatureCache: features of a frozen backbone, computed once and read at random from disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from pyarrow import parquet

from geoloc.batch import GeoBatch
from geoloc.data.feature_files import (
    FEATURES,
    SAMPLES,
    check_files,
    read_meta,
    refuse_mismatch,
)
from geoloc.data.feature_views import drawn_views
from geoloc.errors import DataError


class FeatureCache:
    """Features, places and labels of samples, by row; `cached_features` computes one.

    The features stay on disk (memory-mapped) and only the rows asked for are read.

    Args:
        features: of every view, one row a sample.
        samples: a parquet file with key, lat_deg, lon_deg and label (JSON) of each row; the labels
            are read when they are first asked for.
        fingerprint: what the features were computed from.

    Attributes:
        fingerprint: what the features were computed from, by name (backbone, shards, preset, ...).
        latlon_deg: places of all rows in degrees, float64.
    """

    def __init__(
        self,
        features: NDArray[Any],
        samples: Path,
        fingerprint: Mapping[str, str],
    ) -> None:
        table: Any = parquet.read_table(samples, columns=["key", "lat_deg", "lon_deg"])
        if features.ndim != 3 or features.shape[1] != table.num_rows:
            raise DataError(
                f"{samples.parent} has features of shape {features.shape} for {table.num_rows} "
                "samples"
            )
        self._features = features
        # All views under one another, and no longer a memmap, whose indexing is slower.
        self._rows = np.asarray(features).reshape(-1, features.shape[2])
        self._samples = samples
        # Strings from the start: to make them anew costs a batch as much as half its features.
        self._keys: NDArray[Any] = table.column("key").to_numpy()
        self._labels: Any = None
        self.fingerprint = dict(fingerprint)
        self.latlon_deg: Float[np.ndarray, "sample 2"] = np.stack(
            [table.column("lat_deg").to_numpy(), table.column("lon_deg").to_numpy()], axis=1
        )

    def __len__(self) -> int:
        return int(self._features.shape[1])

    @property
    def feature_dim(self) -> int:
        """Length of a feature."""
        return int(self._features.shape[2])

    @property
    def views(self) -> int:
        """Views of each sample; view 0 is the image as it is seen at query time."""
        return int(self._features.shape[0])

    @property
    def features(self) -> NDArray[Any]:
        """View 0 of all samples as it lies on disk, one row a sample: memory-mapped, read-only."""
        return self._features[0]

    def batch(
        self,
        rows: Int64[np.ndarray, " row"],
        *,
        labels: bool = True,
        drawn: tuple[int, int] | None = None,
    ) -> GeoBatch:
        """The samples of these rows, features in float32.

        Args:
            rows: which, in any order.
            labels: whether to read what the data set says of them; training has no need to.
            drawn: seed and epoch by which a view of each sample is drawn; None gives view 0.

        Raises:
            IndexError: there is no such row.
        """
        if len(rows) and not (rows.min() >= 0 and rows.max() < len(self)):
            # Looked at here: in the file there are rows of other views behind those of the first.
            raise IndexError(f"there are rows 0 to {len(self) - 1}, not {rows.min()}, {rows.max()}")
        texts = self._label_texts().take(pa.array(rows)).to_pylist() if labels else []
        at = rows
        if drawn is not None and self.views > 1:
            view = drawn_views(rows, seed=drawn[0], epoch=drawn[1], views=self.views)
            at = view * len(self) + rows
        return GeoBatch(
            key=tuple(self._keys[rows].tolist()),
            # `take` is faster than an index, and torch widens half precision faster than NumPy.
            latlon_deg=torch.from_numpy(np.take(self.latlon_deg, rows, axis=0)),
            feature=torch.from_numpy(np.take(self._rows, at, axis=0)).float(),
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
            DataError: there is no cache, or it is incomplete, damaged or of another version.
            MismatchError: its features were computed from something else.
        """
        meta = read_meta(folder)
        refuse_mismatch(folder, meta["fingerprint"], fingerprint)
        check_files(folder, meta, verify=verify)
        features = np.load(folder / FEATURES, mmap_mode="r")
        return cls(features, folder / SAMPLES, meta["fingerprint"])
