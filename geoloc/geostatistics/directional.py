"""Directional variograms: pairs told apart by the compass bearing of the line between them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float64
from torch import Tensor

from geoloc.errors import ConfigError
from geoloc.geostatistics.accumulator import AUTO, Engine, Places
from geoloc.geostatistics.all_pairs import add_all_pairs, tile_order
from geoloc.geostatistics.dissimilarity import Dissimilarity
from geoloc.geostatistics.estimate import DEFAULT_GROUPS, accumulator_for
from geoloc.geostatistics.features import Block, Values
from geoloc.geostatistics.lags import LagBins, Metric
from geoloc.geostatistics.sums import PairSums
from geoloc.geostatistics.tiles_torch import TorchTiles
from geoloc.geostatistics.variogram import Variogram


def directional_variograms(
    latlon_deg: Places,
    values: Values,
    *,
    bins: LagBins,
    sectors: int = 4,
    dissimilarity: Dissimilarity = "squared",
    metric: Metric = "great_circle",
    groups: int = DEFAULT_GROUPS,
    engine: Engine = AUTO,
) -> tuple[Variogram, ...]:
    """One variogram for each sector of directions; unlike ranges or sills mean anisotropy.

    Sector k is centred on the bearing k * 180 / sectors degrees, clockwise from north: with four
    sectors these are north-south, northeast, east-west and southeast. A line has no sense, so
    bearings are taken modulo 180 degrees; on the sphere at the middle of the great circle, where
    the bearings of both ends agree.

    Args:
        latlon_deg: as in `estimate_variogram`; with the Euclidean metric x (east) and y (north).
        values: likewise.
        bins: lag classes.
        sectors: how many.
        dissimilarity: of the values.
        metric: of the places.
        groups: for the jackknife.
        engine: precision and progress; pairs are computed by torch.

    Returns:
        The variograms by sector; provenance holds its ``bearing_deg``. Together they hold each
        pair once.

    Raises:
        ConfigError: there are fewer than two sectors, or a choice is unknown.
        CoordinateError: a place is not finite or out of range.
        DataError: values are not finite, or no pair of some sector falls into a class.
    """
    if sectors < 2:
        raise ConfigError(f"directions are told apart by two sectors at least, not by {sectors}")
    whole, labels = accumulator_for(
        latlon_deg, values, bins=bins, dissimilarity=dissimilarity, metric=metric, groups=groups
    )
    parts = [whole.empty_like() for _ in range(sectors)]
    samples, position = whole.samples(latlon_deg, values, labels, engine)
    tiles = SectorTiles(parts)
    add_all_pairs(samples, tile_order(position, labels), tiles, progress=engine.progress)
    return tuple(
        part.variogram(
            feature_dim=samples.feature_dim,
            provenance={"bearing_deg": number * 180.0 / sectors, "sectors": sectors},
        )
        for number, part in enumerate(parts)
    )


class SectorTiles:
    """Adds each pair of a tile to the sums of its sector.

    Args:
        sums: one a sector, of one kind.

    Attributes:
        tile_rows: rows and columns that a tile had best have.
    """

    def __init__(self, sums: Sequence[PairSums]) -> None:
        self.tile_rows = 1024
        self._tiles = [TorchTiles(each) for each in sums]
        self._on_sphere = sums[0].separation.radius > 0

    @torch.no_grad()
    def add_tile(self, a: Block, b: Block, *, same: bool) -> None:
        """Add every pair of a row of `a` and a row of `b`; with `same`, each pair once."""
        bearing = bearings_deg(a.position, b.position, on_sphere=self._on_sphere)
        width = 180.0 / len(self._tiles)
        sector = torch.floor(bearing / width + 0.5).to(torch.int64) % len(self._tiles)
        for number, tiles in enumerate(self._tiles):
            tiles.add_tile(a, b, same=same, chosen=sector == number)

    def finish(self) -> None:
        """Nothing is held back here."""


def bearings_deg(
    a: Float64[Tensor, "a 3"], b: Float64[Tensor, "b 3"], *, on_sphere: bool
) -> Float64[Tensor, "a b"]:
    """Bearing of the line between every two positions, clockwise from north, in [0, 180].

    On the sphere at the middle of the line: the chord is at a right angle to the middle's
    direction there, so its parts along east and north give the bearing. 0 for equal places.
    """
    difference = a[:, None] - b
    if not on_sphere:
        east, north = difference[..., 0], difference[..., 1]
    else:
        middle = a[:, None] + b
        x, y, z = middle.unbind(-1)
        across = torch.hypot(x, y)
        # both scaled by the same lengths, which leave the angle as it is
        east = (x * difference[..., 1] - y * difference[..., 0]) * middle.norm(dim=-1)
        north = across.square() * difference[..., 2] - z * (
            x * difference[..., 0] + y * difference[..., 1]
        )
    return torch.rad2deg(torch.atan2(east, north)) % 180.0
