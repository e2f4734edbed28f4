"""Geocells from a configuration: made, measured, compared, written and drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import nn

from geoloc.artifacts import write_json
from geoloc.evaluation import Comparison, RowErrors, compare, metric_values, spatial_blocks
from geoloc.experiment.build import Say
from geoloc.experiment.cells_data import CellsData, PlacedFeatures, read_cells_data
from geoloc.experiment.cells_schema import CellsConfig
from geoloc.experiment.loading import section_hash
from geoloc.experiment.run_directory import software
from geoloc.geodesy import great_circle_km
from geoloc.regions import (
    NOISE,
    CellSizes,
    ClusterSettings,
    Geocells,
    geocells_of,
    metric_constrained_clusters,
    sized_cells,
)
from geoloc.regions.partitions import PartitionWorth, partition, partition_worth
from geoloc.training.cell_classifier import ClassifierSettings, train_cell_classifier
from geoloc.viz import draw_cells

GEOCELLS = "geocells"
CELLS_FILE = "cells.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class CellsResult:
    """What came of it.

    Attributes:
        cells: the geocells.
        clusters: metric-constrained clusters before sizes were seen to; None without.
        noise_share: of the places, in none of them.
        worth: of each partition, by name.
        metrics: by test split, then by partition, then by name; one value a seed.
        comparisons: geocells less each other partition, by test split.
    """

    cells: Geocells
    clusters: int | None
    noise_share: float
    worth: Mapping[str, PartitionWorth]
    metrics: Mapping[str, Mapping[str, Mapping[str, Float64[np.ndarray, " seed"]]]] = field(
        default_factory=dict[str, Any]
    )
    comparisons: Mapping[str, list[Comparison]] = field(default_factory=dict[str, Any])


def make_cells(config: CellsConfig, *, out: Path, say: Say) -> CellsResult:
    """Make the cells, compare them, and write OUT/cells.parquet, result.json and cells.png.

    Raises:
        CheckpointError: a backbone cannot be had.
        ConfigError: settings contradict each other, or a library is missing.
        DataError: there is nothing to read, or it has too few places.
    """
    sizes = CellSizes(**config.sizes.model_dump())
    data = read_cells_data(config, say=say)
    places = data.train.latlon_deg
    label, clusters = _clusters(config, data, say)
    cell = sized_cells(places, data.component, label, sizes)
    provenance = {**software(), **data.provenance, "config_hash": section_hash(config)}
    cells = geocells_of(places, cell, provenance=provenance)
    cells.save(out / CELLS_FILE)
    say(f"{len(cells):,} cells of {len(places):,} places: {out / CELLS_FILE}")
    partitions = {GEOCELLS: cell} | {
        name: partition(
            name, places, data.component, count=len(cells), seed=config.seeds[0], sizes=sizes
        )
        for name in config.compare
    }
    result = CellsResult(
        cells=cells,
        clusters=clusters,
        noise_share=float((label == NOISE).mean()) if clusters is not None else 0.0,
        worth={k: partition_worth(places, data.component, v) for k, v in partitions.items()},
        **_tested(config, data, partitions, say),
    )
    write_json(out / "result.json", _result_json(config, data, result, provenance))
    draw_cells(out / "cells.png", cells.place_deg, cells.cell, title=config.name)
    return result


def _clusters(
    config: CellsConfig, data: CellsData, say: Say
) -> tuple[Int64[np.ndarray, " place"], int | None]:
    if config.clusters is None:
        return np.zeros(len(data.component), dtype=np.int64), None
    say(f"clustering {len(data.component):,} places by {data.component.shape[1]} components")
    settings = ClusterSettings(**config.clusters.model_dump())
    found = metric_constrained_clusters(data.component, data.train.latlon_deg, settings=settings)
    return found.label, found.count


def _tested(
    config: CellsConfig, data: CellsData, partitions: Mapping[str, np.ndarray], say: Say
) -> dict[str, Any]:
    """Errors of a classifier of each partition's cells, with each seed, on each test split."""
    errors: dict[str, dict[str, list[np.ndarray]]] = {name: {} for name in data.tests}
    for name, cell in partitions.items() if data.tests else ():
        say(f"classifying cells of {name} ({len(config.seeds)} seeds)")
        for seed in config.seeds:
            if name.startswith("k-means"):
                cell = partition(
                    name,  # pyright: ignore[reportArgumentType]
                    data.train.latlon_deg,
                    data.component,
                    count=len(np.unique(partitions[GEOCELLS])),
                    seed=seed,
                )
            told = geocells_of(data.train.latlon_deg, cell)
            model = _classifier(config, data.train, told, seed)
            for split, rows in data.tests.items():
                errors[split].setdefault(name, []).append(_errors_km(model, rows, told))
    metrics: dict[str, Any] = {}
    comparisons: dict[str, Any] = {}
    for split, by_name in errors.items():
        rows = {name: _row_errors(np.stack(each)) for name, each in by_name.items()}
        block = spatial_blocks(data.tests[split].latlon_deg, block_km=config.block_km)
        metrics[split] = {
            name: {k: v for k, v in metric_values(each).items() if not k.startswith("recall")}
            for name, each in rows.items()
        }
        comparisons[split] = _compared(rows, block, config)
    return {"metrics": metrics, "comparisons": comparisons}


def _classifier(
    config: CellsConfig, train: PlacedFeatures, cells: Geocells, seed: int
) -> nn.Module:
    settings = ClassifierSettings(**config.classifier.model_dump(), seed=seed)
    return train_cell_classifier(
        train.feature,
        torch.from_numpy(train.latlon_deg),
        torch.from_numpy(cells.cell),
        torch.from_numpy(cells.centre_deg),
        settings=settings,
    )


@torch.no_grad()
def _errors_km(model: nn.Module, rows: PlacedFeatures, cells: Geocells) -> np.ndarray:
    """From each true place to the mean place of the likeliest cell."""
    answer = cells.centre_deg[model(rows.feature).argmax(dim=1).numpy()]
    return np.asarray(great_circle_km(rows.latlon_deg, answer))


def _row_errors(distance_km: np.ndarray) -> RowErrors:
    return RowErrors(distance_km=distance_km, rank=np.ones(distance_km.shape, dtype=np.int64))


def _compared(
    rows: Mapping[str, RowErrors], block: np.ndarray, config: CellsConfig
) -> list[Comparison]:
    """Geocells less each of the others; nothing where all lies in one block."""
    others = [name for name in rows if name != GEOCELLS]
    if not others or len(np.unique(block)) < 2:
        return []
    found = compare(rows, others, block, resamples=config.resamples, seed=config.seeds[0])
    return [each for each in found if each.arm == GEOCELLS and not each.metric.startswith("recall")]


def _result_json(
    config: CellsConfig, data: CellsData, result: CellsResult, provenance: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "provenance": dict(provenance),
        "config": config.model_dump(mode="json"),
        "places": len(data.train.latlon_deg),
        "explained_variance": data.explained,
        "clusters": result.clusters,
        "noise_share": result.noise_share,
        "partitions": {name: asdict(each) for name, each in result.worth.items()},
        "metrics": {
            split: {
                name: {key: value.tolist() for key, value in each.items()}
                for name, each in by_name.items()
            }
            for split, by_name in result.metrics.items()
        },
        "comparisons": {
            split: [asdict(each) for each in found] for split, found in result.comparisons.items()
        },
    }
