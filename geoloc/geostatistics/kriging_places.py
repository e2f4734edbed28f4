"""What kriging starts from: places that differ, each with values that can be used."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Float64, Int64
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree
from torch import Tensor

from geoloc.errors import DataError
from geoloc.geostatistics.separation import Separation

Duplicates: TypeAlias = Literal["error", "mean"]
"""What becomes of places given twice."""


def usable_values(
    values: np.ndarray | Tensor, position: Float64[Tensor, "place 3"]
) -> Float64[Tensor, "place ..."]:
    """Values in float64 beside their positions.

    Raises:
        DataError: there are none, they do not fit the places, or are not finite.
    """
    given = torch.from_numpy(np.array(values)) if isinstance(values, np.ndarray) else values
    given = given.detach().to(position)
    if not len(position):
        raise DataError("kriging needs at least one place with a value")
    if len(given) != len(position):
        raise DataError(f"kriging: {len(given)} values for {len(position)} places")
    finite = torch.isfinite(given.reshape(len(given), -1)).all(dim=1)
    if not bool(finite.all()):
        row = int(torch.nonzero(~finite)[0])
        raise DataError(f"kriging: the value of place {row} is not finite; leave the place out")
    return given


def distinct_places(
    position: Float64[Tensor, "place 3"],
    value: Float64[Tensor, "place ..."],
    separation: Separation,
    duplicates: Duplicates | str,
) -> tuple[Float64[Tensor, "kept 3"], Float64[Tensor, "kept ..."]]:
    """Places that differ, with the mean of their values.

    Raises:
        DataError: places are there twice, and duplicates are an error.
    """
    pairs = _coincident_pairs(position, separation)
    if not len(pairs):
        return position, value
    if duplicates == "error":
        one, other = (int(row) for row in pairs[0])
        raise DataError(
            f"kriging: places {one} and {other} are one place ({len(pairs)} such pairs): give "
            "duplicates='mean' to merge them"
        )
    count = len(position)
    linked = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    _, found = connected_components(linked, directed=False)
    _, first, label = np.unique(found, return_index=True, return_inverse=True)
    group = torch.from_numpy(label).to(position.device)
    total = value.new_zeros((len(first), *value.shape[1:])).index_add_(0, group, value)
    times = value.new_zeros(len(first)).index_add_(0, group, value.new_ones(count))
    mean = total / times.reshape(-1, *[1] * (value.ndim - 1))
    return position[torch.from_numpy(first).to(position.device)], mean


def _coincident_pairs(position: Tensor, separation: Separation) -> Int64[np.ndarray, "pair 2"]:
    tree = KDTree(position.cpu().numpy())
    found = tree.query_pairs(separation.coincident() ** 0.5, output_type="ndarray")
    return np.asarray(found, dtype=np.int64).reshape(-1, 2)
