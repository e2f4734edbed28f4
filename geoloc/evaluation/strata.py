"""Scores by stratum: what a model does where, each stratum with its count and its intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from geoloc.evaluation.block_variance import BlockVariance
from geoloc.evaluation.metrics import accuracy_within, geoscore
from geoloc.evaluation.protocols import EvaluationProtocol
from geoloc.evaluation.resampling import RowMeasure, block_intervals, spatial_blocks

MIN_COUNT = 50
MIN_BLOCKS = 5
UNLABELLED = "(no label)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stratum:
    """What is scored on the images of one class.

    Attributes:
        name: of the class; `UNLABELLED` for the images that have none.
        count: images.
        blocks: spatial blocks that their true places lie in.
        small: fewer than `MIN_COUNT` images or `MIN_BLOCKS` blocks: not to be ranked by.
        metrics: ``Accuracy_R_km_radius`` for each radius of the protocol as shares, ``median_km``,
            ``mean_km``, ``geoscore``.
        intervals: 95 % intervals of those; empty in fewer than `MIN_BLOCKS` blocks, of which
            nothing can be said.
    """

    name: str
    count: int
    blocks: int
    small: bool
    metrics: Mapping[str, float]
    intervals: Mapping[str, Sequence[float]] = field(default_factory=dict[str, Sequence[float]])

    def to_json(self) -> dict[str, Any]:
        """The stratum as JSON objects."""
        return {
            "name": self.name,
            "count": self.count,
            "blocks": self.blocks,
            "small": self.small,
            "metrics": dict(self.metrics),
            "intervals": {key: list(ends) for key, ends in self.intervals.items()},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class StrataTable:
    """The strata of one question, such as country.

    Attributes:
        by: the question.
        source: where the classes come from, in words.
        ordered: whether the rows stand in an order of their own (distances, quantiles); else by
            falling count.
        rows: every class that occurs.
    """

    by: str
    source: str
    ordered: bool
    rows: tuple[Stratum, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def to_json(self) -> dict[str, Any]:
        """The table as JSON objects."""
        return {
            "by": self.by,
            "source": self.source,
            "ordered": self.ordered,
            "rows": [row.to_json() for row in self.rows],
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StratumLabels:
    """Which class of one question each image is in.

    Attributes:
        by: the question.
        source: where the classes come from, in words.
        names: of the classes.
        code: class of each image, -1 for none.
        ordered: whether the classes have an order of their own.
    """

    by: str
    source: str
    names: tuple[str, ...]
    code: Int64[np.ndarray, " row"]
    ordered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RowScores:
    """What each image scores, for every stratum to take its part of.

    Attributes:
        distance_km: errors by the protocol's distance.
        measures: whose means over images are the metrics.
        block: the spatial block of each true place.
        true_deg: the true places.
        block_km: side of the blocks.
        resamples: draws of the bootstrap; 0 for no intervals.
        seed: of the draws.
    """

    distance_km: Float64[np.ndarray, " row"]
    measures: Mapping[str, Float64[np.ndarray, " row"]]
    block: Int64[np.ndarray, " row"]
    true_deg: Float64[np.ndarray, "row 2"]
    block_km: float
    resamples: int
    seed: int

    @classmethod
    def under(
        cls,
        protocol: EvaluationProtocol,
        distance_km: Float64[np.ndarray, " row"],
        true_deg: Float64[np.ndarray, "row 2"],
        *,
        block_km: float,
        resamples: int,
        seed: int,
    ) -> RowScores:
        """The measures of a protocol: accuracy within each radius, distance and GeoScore."""
        measures = {
            f"Accuracy_{radius:g}_km_radius": accuracy_within(
                distance_km, radius, strict=protocol.strict
            ).astype(np.float64)
            for radius in protocol.thresholds_km
        }
        measures |= {"mean_km": distance_km, "geoscore": geoscore(distance_km)}
        return cls(
            distance_km=distance_km,
            measures=measures,
            block=spatial_blocks(true_deg, block_km=block_km),
            true_deg=true_deg,
            block_km=block_km,
            resamples=resamples,
            seed=seed,
        )

    def stratum(self, name: str, row: Int64[np.ndarray, " chosen"]) -> Stratum:
        """What is scored on the images of these rows, one at least."""
        distance_km, block = self.distance_km[row], self.block[row]
        chosen = {key: value[row] for key, value in self.measures.items()}
        metrics = {key: float(value.mean()) for key, value in chosen.items()}
        blocks = len(np.unique(block))
        intervals: dict[str, list[float]] = {}
        if blocks >= MIN_BLOCKS:
            everyone = np.ones(len(row), dtype=bool)
            intervals = block_intervals(
                {key: RowMeasure(value=v, counted=everyone) for key, v in chosen.items()},
                distance_km,
                block,
                variance=BlockVariance(self.true_deg[row], block_km=self.block_km),
                resamples=self.resamples,
                seed=self.seed,
            )
        return Stratum(
            name=name,
            count=len(row),
            blocks=blocks,
            small=len(row) < MIN_COUNT or blocks < MIN_BLOCKS,
            metrics={"median_km": float(np.median(distance_km)), **metrics},
            intervals=intervals,
        )


def strata_table(scores: RowScores, labels: StratumLabels) -> StrataTable:
    """Score every class that occurs; images without a class are one of their own, the last."""
    order = np.argsort(labels.code, kind="stable")
    found, first = np.unique(labels.code[order], return_index=True)
    parts = np.split(order, first[1:])
    rows = [
        scores.stratum(UNLABELLED if code < 0 else labels.names[code], part)
        for code, part in zip(found.tolist(), parts, strict=True)
    ]
    last = found < 0
    rank = found if labels.ordered else -np.array([len(part) for part in parts])
    sequence = np.lexsort((found, rank, last))
    return StrataTable(
        by=labels.by,
        source=labels.source,
        ordered=labels.ordered,
        rows=tuple(rows[position] for position in sequence),
    )
