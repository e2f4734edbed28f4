"""Regions: cells, quadtrees and spacings that places are chosen by, and what lies within them."""

from geoloc.regions.cells import (
    Grid,
    cell_count,
    cells_of,
    land_cell_centres,
    mean_places,
)
from geoloc.regions.local_ranges import LocalRanges, local_ranges
from geoloc.regions.quadtree import DEPTH, Quadtree, quadtree
from geoloc.regions.restriction import within
from geoloc.regions.spacing import spaced, thinned_to

__all__ = [
    "DEPTH",
    "Grid",
    "LocalRanges",
    "Quadtree",
    "cell_count",
    "cells_of",
    "land_cell_centres",
    "local_ranges",
    "mean_places",
    "quadtree",
    "spaced",
    "thinned_to",
    "within",
]
