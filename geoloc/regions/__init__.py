"""Regions: cells, quadtrees and spacings that places are chosen by, and what lies within them."""

from geoloc.regions.cell_sizes import NOISE, CellSizes, sized_cells
from geoloc.regions.cells import (
    Grid,
    cell_count,
    cells_of,
    land_cell_centres,
    mean_places,
)
from geoloc.regions.geocells import Geocells, geocells_of
from geoloc.regions.local_ranges import LocalRanges, local_ranges
from geoloc.regions.quadtree import DEPTH, Quadtree, quadtree
from geoloc.regions.restriction import within
from geoloc.regions.spacing import spaced, thinned_to

__all__ = [
    "DEPTH",
    "NOISE",
    "CellSizes",
    "Geocells",
    "Grid",
    "LocalRanges",
    "Quadtree",
    "cell_count",
    "cells_of",
    "geocells_of",
    "land_cell_centres",
    "local_ranges",
    "mean_places",
    "quadtree",
    "sized_cells",
    "spaced",
    "thinned_to",
    "within",
]
