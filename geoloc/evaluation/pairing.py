"""Two systems on the same images: paired differences, with intervals and p-values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from geoloc.errors import DataError
from geoloc.evaluation.block_variance import BlockVariance
from geoloc.evaluation.blocks import BLOCK_KM, spatial_blocks
from geoloc.evaluation.error_correlation import block_warning, correlation_length_km
from geoloc.evaluation.metrics import RowMeasure
from geoloc.evaluation.predictions import PredictionTable
from geoloc.evaluation.protocols import EvaluationProtocol, protocol_named
from geoloc.evaluation.resampling import BlockDraws, below, percentiles
from geoloc.evaluation.row_measures import MeasuredRows

_MEDIAN = "median_km"


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDifference:
    """One metric of two systems on the same images.

    Attributes:
        metric: the protocol's key, or median_km.
        first, second: what each scores.
        low, high: 95 % interval of second minus first.
        p_value: two-sided, by blocks; None where nothing can be said.
        holm_p_value: the same, corrected for all the differences that are told together.
        gained, lost: images that only the second, only the first gets right (shares alone).
        mcnemar_p_value: exact, with images taken for independent (shares alone).
    """

    metric: str
    first: float
    second: float
    low: float
    high: float
    p_value: float
    holm_p_value: float
    gained: int | None = None
    lost: int | None = None
    mcnemar_p_value: float | None = None

    @property
    def difference(self) -> float:
        """Second minus first."""
        return self.second - self.first

    def to_json(self) -> dict[str, Any]:
        """The difference as JSON can hold it."""
        return {
            "metric": self.metric,
            "first": self.first,
            "second": self.second,
            "difference": self.difference,
            "interval": [self.low, self.high],
            "p_value": self.p_value,
            "holm_p_value": self.holm_p_value,
            "gained": self.gained,
            "lost": self.lost,
            "mcnemar_p_value": self.mcnemar_p_value,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedComparison:
    """All metrics of two systems under one protocol.

    Attributes:
        protocol: its name.
        first, second: what the systems are called.
        count: images.
        differences: one a metric.
        how: block_km, blocks, resamples, seed, correlation length and warning.
    """

    protocol: str
    first: str
    second: str
    count: int
    differences: Sequence[PairedDifference]
    how: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON can hold it."""
        return {
            "protocol": self.protocol,
            "first": self.first,
            "second": self.second,
            "count": self.count,
            "how": dict(self.how),
            "differences": [each.to_json() for each in self.differences],
        }


def compare_tables(
    tables: Mapping[str, PredictionTable],
    protocol: EvaluationProtocol | str,
    *,
    resamples: int = 1000,
    block_km: float = BLOCK_KM,
    seed: int = 0,
) -> list[PairedComparison]:
    """Every system against every later one, in all metrics of a protocol.

    What is hard for both takes no part in a difference. Intervals and p-values come from blocks of
    the Earth's surface; McNemar's, exact, takes images for independent, which those of one
    neighbourhood are not. p-values of all metrics and pairs are corrected together.

    Args:
        tables: as `same_images` gives them.
        protocol: one of `PROTOCOLS`, or its name.
        resamples: draws of the bootstrap, the same for all systems.
        block_km: side of its blocks.
        seed: of the draws.

    Raises:
        ConfigError: there is no protocol of that name.
        DataError: all images lie in one block.

    Sources: Q. McNemar, Psychometrika 12, 1947, pp. 153-157, in its exact binomial form; S. Holm,
    Scandinavian Journal of Statistics 6, 1979, pp. 65-70.
    """
    protocol = protocol_named(protocol) if isinstance(protocol, str) else protocol
    reference = next(iter(tables.values()))
    block = spatial_blocks(reference.true_deg, block_km=block_km)
    draws = BlockDraws(block, resamples=resamples, generator=np.random.default_rng(seed))
    if draws.blocks < 2:
        raise DataError(f"all images lie in one block of {block_km:g} km: make --block-km smaller")
    variance = BlockVariance(reference.true_deg, block_km=block_km)
    rows = {name: MeasuredRows(table) for name, table in tables.items()}
    found: list[PairedComparison] = []
    for first, second in combinations(tables, 2):
        pair = rows[first], rows[second]
        apart_km = pair[1].distance_km(protocol) - pair[0].distance_km(protocol)
        reach = correlation_length_km(reference.true_deg, apart_km, block_km=block_km, seed=seed)
        how = {
            "block_km": block_km,
            "blocks": draws.blocks,
            "resamples": resamples,
            "seed": seed,
            "correlation_length_km": reach,
            "warning": block_warning(reach, block_km),
        }
        found.append(
            PairedComparison(
                protocol=protocol.name,
                first=first,
                second=second,
                count=len(reference),
                differences=_differences(pair, protocol, draws, variance),
                how=how,
            )
        )
    return _corrected(found)


def mcnemar_p_value(gained: int, lost: int) -> float:
    """Exact two-sided p-value of McNemar's test from the images that only one gets right.

    Under the hypothesis each is as likely to be the one's as the other's (binomial with one half).
    """
    from scipy.stats import binomtest

    return float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for being several, by Holm's step-down procedure."""
    order = np.argsort(p_values, kind="stable")
    raised = np.asarray(p_values)[order] * np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(np.maximum.accumulate(raised), 1.0)
    return [float(value) for value in corrected]


def _differences(
    pair: tuple[MeasuredRows, MeasuredRows],
    protocol: EvaluationProtocol,
    draws: BlockDraws,
    variance: BlockVariance,
) -> list[PairedDifference]:
    one, other = pair[0].measures(protocol), pair[1].measures(protocol)
    each = [_difference(key, (one, other), draws, variance) for key in one]
    found = [difference for difference in each if difference is not None]
    km = pair[0].distance_km(protocol), pair[1].distance_km(protocol)
    return [*found, _median_difference(*km, draws, variance)]


def _difference(
    metric: str,
    pair: tuple[Mapping[str, RowMeasure], Mapping[str, RowMeasure]],
    draws: BlockDraws,
    variance: BlockVariance,
) -> PairedDifference | None:
    one, other = pair[0][metric], pair[1][metric]
    first, second = one.mean(), other.mean()
    if first is None or second is None:
        return None
    apart = RowMeasure(value=other.value - one.value, counted=one.counted)
    known = variance.of(apart)
    low, high = percentiles(draws.means(apart), second - first, known)
    p_value = known.p_value(second - first)
    told = PairedDifference(
        metric=metric,
        first=first,
        second=second,
        low=low,
        high=high,
        p_value=p_value,
        holm_p_value=p_value,
    )
    if not (one.is_share and other.is_share):
        return told
    gained = int(((apart.value > 0) & apart.counted).sum())
    lost = int(((apart.value < 0) & apart.counted).sum())
    exact = mcnemar_p_value(gained, lost)
    return replace(told, gained=gained, lost=lost, mcnemar_p_value=exact)


def _median_difference(
    one_km: np.ndarray, other_km: np.ndarray, draws: BlockDraws, variance: BlockVariance
) -> PairedDifference:
    """A median moves as the share of rows below it, times a slope that the draws tell."""
    first, second = float(np.median(one_km)), float(np.median(other_km))
    drawn, part = [], np.zeros(len(one_km))
    for km, middle, sign in ((one_km, first, 1.0), (other_km, second, -1.0)):
        medians, share = draws.medians(km), below(km, middle)
        spread = float(np.std(draws.means(share)))
        slope = float(np.std(medians)) / spread if spread > 0.0 else 0.0
        part += sign * slope * share.value
        drawn.append(medians)
    everyone = np.ones(len(part), dtype=bool)
    known = variance.of(RowMeasure(value=part, counted=everyone))
    low, high = percentiles(drawn[1] - drawn[0], second - first, known)
    p_value = known.p_value(second - first)
    return PairedDifference(
        metric=_MEDIAN,
        first=first,
        second=second,
        low=low,
        high=high,
        p_value=p_value,
        holm_p_value=p_value,
    )


def _corrected(comparisons: Sequence[PairedComparison]) -> list[PairedComparison]:
    """The comparisons with p-values corrected for all of their differences."""
    corrected = iter(holm([each.p_value for c in comparisons for each in c.differences]))
    return [
        replace(
            comparison,
            differences=[
                replace(each, holm_p_value=next(corrected)) for each in comparison.differences
            ],
        )
        for comparison in comparisons
    ]
