"""Regions: cells, quadtrees, spacings and clusters of places, and what lies within them."""

from geoloc.regions.cell_sizes import NOISE, CellSizes, sized_cells
from geoloc.regions.cells import (
    Grid,
    cell_count,
    cells_of,
    land_cell_centres,
    mean_places,
)
from geoloc.regions.cluster_evidence import Prepared, prepare
from geoloc.regions.cluster_settings import ClusterSettings
from geoloc.regions.cluster_tuning import ClusterGrid, Tuned, clusterings, tune
from geoloc.regions.geocells import Geocells, geocells_of
from geoloc.regions.local_ranges import LocalRanges, local_ranges
from geoloc.regions.metric_clusters import (
    MetricConstrainedClusters,
    clusters_of,
    metric_constrained_clusters,
)
from geoloc.regions.quadtree import DEPTH, Quadtree, quadtree
from geoloc.regions.regime_world import regime_world
from geoloc.regions.restriction import within
from geoloc.regions.spacing import spaced, thinned_to

__all__ = [
    "DEPTH",
    "NOISE",
    "CellSizes",
    "ClusterGrid",
    "ClusterSettings",
    "Geocells",
    "Grid",
    "LocalRanges",
    "MetricConstrainedClusters",
    "Prepared",
    "Quadtree",
    "Tuned",
    "cell_count",
    "cells_of",
    "clusterings",
    "clusters_of",
    "geocells_of",
    "land_cell_centres",
    "local_ranges",
    "mean_places",
    "metric_constrained_clusters",
    "prepare",
    "quadtree",
    "regime_world",
    "sized_cells",
    "spaced",
    "thinned_to",
    "tune",
    "within",
]
