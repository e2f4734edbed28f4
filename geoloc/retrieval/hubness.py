"""Hubness: how unevenly the candidates appear among the answers."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Int64


@dataclass(frozen=True, slots=True, kw_only=True)
class Hubness:
    """How often candidates are among the k best of a set of queries (their k-occurrence).

    Attributes:
        k: how many of the best were looked at.
        skewness: third standardised moment of the k-occurrences; 0 when evenly spread. Source:
            Radovanović, Nanopoulos and Ivanović 2010 (JMLR 11, equation 1).
        never_share: share of the candidates that no query has among its k best.
        largest: k-occurrence of the greatest hub.
    """

    k: int
    skewness: float
    never_share: float
    largest: int

    def to_json(self) -> dict[str, float]:
        """The measures by name."""
        return asdict(self)


def hubness(index: Int64[np.ndarray, "query k"], candidates: int) -> Hubness:
    """Measure the hubness of a ranking.

    Args:
        index: the k best candidates of each query.
        candidates: how many candidates there are.

    Raises:
        ValueError: there are no queries, or a candidate lies outside the range.
    """
    if not index.size or int(index.min()) < 0 or int(index.max()) >= candidates:
        raise ValueError(f"a ranking of at least one query among {candidates} candidates is needed")
    occurrence = np.bincount(index.ravel(), minlength=candidates)
    away = occurrence - occurrence.mean()
    spread = float(np.sqrt((away**2).mean()))
    return Hubness(
        k=index.shape[1],
        skewness=float((away**3).mean()) / spread**3 if spread > 0.0 else 0.0,
        never_share=float((occurrence == 0).mean()),
        largest=int(occurrence.max()),
    )
