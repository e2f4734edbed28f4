"""SampleStore: the training split by row; RefitReport: what was made of it at an epoch's start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from geoloc.batch import GeoBatch
from geoloc.negatives.expectation import ExpectedSemivariance

Embed: TypeAlias = Callable[[GeoBatch], Float[Tensor, "batch feature"]]
"""The features that a semivariogram is to be fitted to: trained embeddings, frozen features."""


@runtime_checkable
class SampleStore(Protocol):
    """Samples of the training split that can be read by row."""

    latlon_deg: Float64[np.ndarray, "sample 2"]

    def __len__(self) -> int:
        """How many there are."""
        ...

    def batch(
        self,
        rows: Int64[np.ndarray, " row"],
        *,
        labels: bool = True,
        drawn: tuple[int, int] | None = None,
    ) -> GeoBatch:
        """The samples of these rows.

        Args:
            rows: which, in any order.
            labels: whether to read what the data set says of them.
            drawn: seed and epoch by which a view of each is drawn, where there are several; None
                gives them as they are seen at query time.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RefitReport:
    """What happened at the beginning of an epoch, for diagnostics.

    Attributes:
        epoch: counted from 0.
        expectation: the fit.
        held_out: samples that no fit ever sees, the same in every epoch, with the features that
            pairs are compared by.
        seconds: that embedding, fitting and mining took.
    """

    epoch: int
    expectation: ExpectedSemivariance
    held_out: GeoBatch
    seconds: float
