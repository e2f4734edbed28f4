"""The condition under which an inner product is a cosine: vectors of length one."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from geoloc.errors import DataError

# Rows normalised in bfloat16 are off by some 1e-4; a forgotten normalisation by far more.
UNIT_TOLERANCE = 2e-3


def check_unit(vectors: Float[Tensor, "row embedding"], *, what: str) -> None:
    """Refuse rows that are not finite or not of length one: longer ones would win every search.

    Args:
        vectors: the rows.
        what: whose they are, for the message ("query").

    Raises:
        DataError: naming the first bad row and its length.
    """
    length = torch.linalg.vector_norm(vectors.float(), dim=1)
    good = (length - 1.0).abs() <= UNIT_TOLERANCE
    if bool(good.all()):
        return
    row = int((~good).nonzero()[0, 0])
    raise DataError(
        f"{what} embedding {row} has length {float(length[row]):.6g}, not 1: "
        "normalise embeddings (L2) before they are indexed or searched"
    )
