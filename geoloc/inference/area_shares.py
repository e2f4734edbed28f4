"""How probable countries and regions are: a posterior over places, summed by area."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from geoloc.inference.answers import AreaShare
from geoloc.places import Areas
from geoloc.retrieval.kept_tensor import kept_tensor

MOST = 10
"""Areas that an answer names."""

_SEA = AreaShare(code=None, name="at sea", probability=0.0)
_LEAST = 0.0005


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AreaShares:
    """Which area each place of a gallery lies in.

    Attributes:
        area: row in `Areas`; their number for places at sea.
    """

    area: Int64[Tensor, " place"]

    @classmethod
    def of(
        cls, latlon_deg: Float64[np.ndarray, "place 2"], cache: Path | None = None
    ) -> AreaShares:
        """The areas of places.

        Args:
            latlon_deg: the places.
            cache: folder that keeps them for the next time.
        """

        def locate() -> Tensor:
            areas = Areas.load()
            index = areas.locate(latlon_deg).area_index
            return torch.from_numpy(np.where(index < 0, len(areas.country), index)).long()

        if cache is None:
            return cls(area=locate())
        return cls(area=kept_tensor(cache, "areas", (torch.tensor(latlon_deg),), locate))

    def shares(
        self, probability: Float[Tensor, "query place"]
    ) -> list[tuple[tuple[AreaShare, ...], tuple[AreaShare, ...]]]:
        """For each query the most probable countries and the most probable regions.

        Args:
            probability: of the places; each query's sum to one.
        """
        areas = Areas.load()
        count = len(areas.country)
        mass = torch.zeros((len(probability), count + 1), dtype=torch.float64)
        # In float64 a million small shares still add up to one.
        mass.index_add_(1, self.area, probability.double().cpu())
        country, code = _countries(areas)
        return [
            (_named(np.bincount(country, weights=one), code), _regions(one, areas))
            for one in mass.numpy()
        ]


@functools.lru_cache(maxsize=2)
def _countries(areas: Areas) -> tuple[np.ndarray, Callable[[int], AreaShare]]:
    """The country of each area and of the sea, and how it is called."""
    codes, first, member = np.unique(
        areas.country_code.astype(str), return_index=True, return_inverse=True
    )

    def named(at: int) -> AreaShare:
        if at == len(codes):
            return _SEA
        return AreaShare(code=str(codes[at]), name=str(areas.country[first[at]]), probability=0.0)

    return np.append(member, len(codes)), named


def _regions(mass: np.ndarray, areas: Areas) -> tuple[AreaShare, ...]:
    def named(at: int) -> AreaShare:
        if at == len(areas.region):
            return _SEA
        return AreaShare(
            code=areas.region_code[at],
            name=areas.region[at] or areas.country[at],
            probability=0.0,
            country_code=areas.country_code[at],
        )

    return _named(mass, named)


def _named(mass: np.ndarray, named: Callable[[int], AreaShare]) -> tuple[AreaShare, ...]:
    order = np.argsort(-mass, kind="stable")[:MOST]
    return tuple(
        replace(named(int(at)), probability=min(float(mass[at]), 1.0))
        for at in order
        if mass[at] >= _LEAST
    )
