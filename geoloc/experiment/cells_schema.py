"""The configuration of `geoloc cells`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from geoloc.experiment.loading import load_section
from geoloc.experiment.sections import (
    Count,
    CountOrZero,
    NotNegative,
    Positive,
    Section,
)
from geoloc.regions.partitions import Partition


class CellClusterSection(Section):
    """Metric-constrained clusters before sizes are seen to; see `ClusterSettings`.

    Features are their principal components, of a mean variance of one. `compared`: each place is
    compared with so many nearest ones.
    """

    neighbours: Annotated[int, Field(ge=2)] = 30
    sparsity: Positive = 0.01
    eps: Positive = 2.0
    min_samples: Count = 10
    weight: NotNegative = 0.6
    margin: float = 3.4
    compared: Count = 100


class CellSizeSection(Section):
    """How many cells or how large; see `CellSizes`."""

    smallest: Count = 1
    largest: Count | None = None
    count: Count | None = None
    least_share: Annotated[float, Field(gt=0.0, le=0.5)] = 0.3
    place_weight: NotNegative = 1.0


class CellClassifierSection(Section):
    """A linear classifier of each partition's cells on the frozen features; see there."""

    epochs: Count = 20
    batch_size: Count = 256
    learning_rate: Positive = 1e-3
    weight_decay: NotNegative = 1e-2
    smoothing_km: NotNegative = 0.0


class CellsConfig(Section):
    """Geocells of the training places of an experiment, or of places with features in files.

    `experiment`: a file, relative to this one, whose frozen backbone gives the features of its
    training split and of its tests. `features`: instead of it a folder of `geoloc embed`, a feature
    cache or an .npz of latlon_deg and values; then there is nothing to test on. `components`: of
    the features. `clusters`: null cuts and joins without them. `compare`: other partitions of as
    many cells. `seeds`: of the classifiers and of k-means. `block_km`: side of the bootstrap's
    blocks.
    """

    name: str
    experiment: Path | None = None
    features: Path | None = None
    components: Count = 8
    clusters: CellClusterSection | None = CellClusterSection()
    sizes: CellSizeSection = CellSizeSection()
    compare: tuple[Partition, ...] = ("quadtree", "h3", "k-means", "k-means-both", "cuts")
    classifier: CellClassifierSection = CellClassifierSection()
    seeds: tuple[CountOrZero, ...] = (0, 1, 2)
    block_km: Positive = 500.0
    resamples: Count = 2000
    device: Literal["auto", "cpu", "cuda"] = "auto"

    @model_validator(mode="after")
    def _one_source(self) -> CellsConfig:
        if (self.experiment is None) == (self.features is None):
            raise ValueError("name either an experiment or features")
        if not self.seeds:
            raise ValueError("seeds: name one at least")
        return self


def load_cells_config(path: Path, overrides: Iterable[str] = ()) -> CellsConfig:
    """Read a file of these settings; the experiment it names is relative to it.

    Raises:
        ConfigError: the file is missing or no mapping, a key is unknown, or a value impossible.
    """
    config = load_section(path, overrides, CellsConfig)
    if config.experiment is None:
        return config
    return config.model_copy(update={"experiment": (path.parent / config.experiment).resolve()})
