"""Metric-constrained clusters from a configuration: made, judged, written and drawn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int64

from geoloc.artifacts import write_atomically, write_json
from geoloc.errors import DataError
from geoloc.experiment.build import Say
from geoloc.experiment.cluster_data import Observed, read_observed
from geoloc.experiment.cluster_schema import ClusterConfig, TuningSection
from geoloc.experiment.loading import section_hash
from geoloc.experiment.run_directory import software
from geoloc.geostatistics.files import variogram_tree
from geoloc.inference.devices import usable_device
from geoloc.regions import (
    ClusterGrid,
    ClusterSettings,
    MetricConstrainedClusters,
    clusters_of,
    prepare,
    tune,
)
from geoloc.regions.cluster_tuning import adjusted_rand_index
from geoloc.viz import draw_clusters

LABELS, RESULT, PICTURE = "labels.csv", "result.json", "clusters.png"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClusterResult:
    """What came of it.

    Attributes:
        clusters: by the settings given or chosen.
        tried: how many settings labels chose from; 0 without tuning.
        adjusted_rand: agreement with labels that chose nothing; None where there are none.
        judged: how many those are.
    """

    clusters: MetricConstrainedClusters
    tried: int
    adjusted_rand: float | None
    judged: int

    def to_text(self) -> str:
        """A table of what was found."""
        found = self.clusters
        settings = found.settings
        size = np.bincount(found.label[found.label >= 0], minlength=found.count)
        range_in_words = f"{found.reach:,.4g} {settings.unit}"
        if not np.isfinite(found.reach):
            range_in_words = "none: the curve flattens nowhere"
        rows = [
            ("observations", f"{len(found.label):,}"),
            ("clusters", f"{found.count}, of {', '.join(f'{each:,}' for each in size) or 'none'}"),
            ("noise", f"{100 * found.noise_share:.1f} %"),
            ("range", range_in_words),
            (
                "settings",
                f"eps {settings.eps:g}, weight {settings.weight:g}, margin "
                f"{settings.margin:g}, min_samples {settings.min_samples}",
            ),
        ]
        if self.tried:
            rows.append(("chosen from", f"{self.tried} settings"))
        if self.adjusted_rand is not None:
            told = f"{100 * self.adjusted_rand:.2f} % on {self.judged:,} labels"
            rows.append(("adjusted Rand", told))
        return "\n".join(f"{name:14} {value}" for name, value in rows)


def run_clusters(config: ClusterConfig, *, out: Path, say: Say) -> ClusterResult:
    """Cluster, and write OUT/labels.csv, result.json and clusters.png.

    Raises:
        ConfigError: settings contradict each other, or this machine has no such device.
        CoordinateError: a place is not finite or out of range.
        DataError: the table cannot be used, or has too few rows or labels.
    """
    observed = read_observed(config)
    settings = ClusterSettings(**config.clustering.model_dump())
    device = usable_device(config.device)
    say(f"Gaussians and semivariogram of {len(observed.features):,} observations")
    features = torch.from_numpy(observed.features).to(device)
    prepared = prepare(features, observed.places, settings=settings)
    judges = np.zeros(len(observed.features), dtype=np.bool_)
    tried = 0
    if config.tuning is None:
        clusters = clusters_of(prepared)
        if observed.known is not None:
            judges = observed.known >= 0
    else:
        chosen, judges = _drawn_labels(observed, config.tuning)
        grid = ClusterGrid(
            eps=config.tuning.eps,
            weight=config.tuning.weight,
            margin=config.tuning.margin,
            min_samples=config.tuning.min_samples,
        )
        tuned = tune(prepared, chosen, grid)
        clusters, tried = tuned.clusters, len(tuned.tried)
    agreement = None
    if observed.known is not None and judges.any():
        agreement = adjusted_rand_index(observed.known[judges], clusters.label[judges])
    result = ClusterResult(
        clusters=clusters, tried=tried, adjusted_rand=agreement, judged=int(judges.sum())
    )
    _write(config, observed, result, out)
    return result


def _drawn_labels(
    observed: Observed, tuning: TuningSection
) -> tuple[Int64[np.ndarray, " n"], np.ndarray]:
    """Labels to tune by, -1 elsewhere, and which observations judge."""
    known = observed.known
    if known is None:
        raise DataError("there are no labels to tune by")
    rows = np.flatnonzero(known >= 0)
    if len(rows) <= tuning.known:
        raise DataError(f"{len(rows)} labels are known: tuning.known must be less than that")
    drawn = np.random.default_rng(tuning.seed).permutation(rows)[: tuning.known]
    chosen = np.full(len(known), -1, dtype=np.int64)
    chosen[drawn] = known[drawn]
    return chosen, (known >= 0) & (chosen < 0)


def _write(config: ClusterConfig, observed: Observed, result: ClusterResult, out: Path) -> None:
    found = result.clusters
    labels = pd.DataFrame({"row": np.arange(len(found.label)), "cluster": found.label})
    labels["core"] = found.core
    write_atomically(out / LABELS, lambda path: labels.to_csv(path, index=False))
    write_json(out / RESULT, _result_json(config, result))
    draw_clusters(
        out / PICTURE,
        observed.places,
        found.label,
        variogram=found.semivariogram,
        fit=found.fit,
        reach=found.reach,
        title=config.name,
    )


def _result_json(config: ClusterConfig, result: ClusterResult) -> dict[str, Any]:
    found, settings = result.clusters, result.clusters.settings
    return {
        "schema_version": 1,
        "provenance": {
            **software(),
            "seed": config.clustering.seed,
            "config_hash": section_hash(config),
        },
        "config": config.model_dump(mode="json"),
        "observations": len(found.label),
        "clusters": found.count,
        "noise_share": found.noise_share,
        "settings": {
            "eps": settings.eps,
            "weight": settings.weight,
            "margin": settings.margin,
            "min_samples": settings.min_samples,
        },
        "settings_tried": result.tried,
        "adjusted_rand": result.adjusted_rand,
        "labels_judging": result.judged,
        "reach": found.reach if np.isfinite(found.reach) else None,
        "semivariogram": variogram_tree(found.semivariogram),
        "fit": found.fit.to_json(),
    }
