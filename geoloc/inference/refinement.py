"""Refinement: the place near the best hits where the encoder's cosine is highest."""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from geoloc.geodesy import great_circle_km
from geoloc.inference.place_field import PlaceField, around, hexagonal_lattice

_LEVELS = 4
_SHRINK = 3.0
_BETAS = (0.8, 0.95)


def distinct_starts(
    field: PlaceField, hits: Int64[Tensor, "query rank"], *, starts: int
) -> Int64[Tensor, "query start"]:
    """The best hits that are not neighbours of a better one: within twice the spacing there.

    A query with fewer such hits repeats its best.

    Args:
        field: the gallery.
        hits: rows of the gallery, best first.
        starts: how many are wanted.
    """
    hits = hits.cpu()
    place = field.latlon_deg[hits]
    apart_km = great_circle_km(place[:, :, None], place[:, None, :])
    reach_km = 2.0 * field.spacing_km(hits.flatten()).view(hits.shape)
    kept = torch.zeros(hits.shape, dtype=torch.bool)
    for rank in range(hits.shape[1]):
        crowded = (kept & (apart_km[:, rank] <= reach_km)).any(dim=1)
        kept[:, rank] = ~crowded & (kept.sum(dim=1) < starts)
    order = torch.argsort((~kept).long(), dim=1, stable=True)[:, :starts]
    chosen, real = hits.gather(1, order), kept.gather(1, order)
    return torch.where(real, chosen, hits[:, :1])


def refine_places(
    field: PlaceField,
    query: Float[Tensor, "query embedding"],
    start: Int64[Tensor, "query start"],
    *,
    radius_km: float | None = None,
    steps: int = 20,
) -> tuple[Float64[Tensor, "query 2"], Float64[Tensor, " query"]]:
    """Climb from each start and keep the best place of each query, with its cosine.

    A lattice around the start is encoded, then one a third as wide around its best place, and so
    on: gradients alone stay in the first ripple of the finest Fourier features. `steps` of Adam on
    the plane that touches at the start follow. A place is kept only where its cosine is higher:
    no query ends below its best start.

    Args:
        field: gallery and encoder.
        query: unit vectors.
        start: rows of the gallery.
        radius_km: how far from its start a place may move; None is the spacing of the gallery
            there.
        steps: of Adam (D. P. Kingma, J. Ba, ICLR 2015); 0 for the lattice alone.
    """
    starts = start.shape[1]
    flat = start.flatten().cpu()
    each = query.detach().repeat_interleave(starts, dim=0)
    at = field.latlon_deg[flat]
    reach_km = field.spacing_km(flat) if radius_km is None else at.new_full((len(at),), radius_km)
    climb = _Climb(field, each, at, reach_km)
    climb.search()
    climb.ascend(steps)
    score, winner = climb.score.view(-1, starts).max(dim=1)
    place = around(at, climb.offset_km[:, None])[:, 0].view(-1, starts, 2)
    return place[torch.arange(len(place)), winner], score


class _Climb:
    """The best place so far of each start, as km east and north of it."""

    def __init__(self, field: PlaceField, query: Tensor, at: Tensor, reach_km: Tensor) -> None:
        self._field, self._query, self._at, self._reach_km = field, query, at, reach_km
        self.offset_km = torch.zeros_like(at)
        self.score = self._scores(self.offset_km[:, None])[:, 0].detach()

    def search(self) -> None:
        """Lattices, each a third as wide as the one before."""
        lattice = hexagonal_lattice(3)
        width_km = self._reach_km[:, None, None]
        for _ in range(_LEVELS):
            tried = self._bounded(self.offset_km[:, None] + lattice * width_km)
            with torch.no_grad():
                score, best = self._scores(tried).max(dim=1)
            self._keep(tried[torch.arange(len(tried)), best], score)
            width_km = width_km / _SHRINK

    def ascend(self, steps: int) -> None:
        """Adam from the best place so far; its steps shrink from the last lattice's spacing."""
        offset = self.offset_km.clone()
        first, second = torch.zeros_like(offset), torch.zeros_like(offset)
        rate_km = self._reach_km[:, None] / _SHRINK ** (_LEVELS + 1)
        for step in range(1, steps + 1):
            offset.requires_grad_(True)
            with torch.enable_grad():
                score = self._scores(offset[:, None])[:, 0]
                (slope,) = torch.autograd.grad(score.sum(), offset)
            offset = offset.detach()
            self._keep(offset, score.detach())
            first = _BETAS[0] * first + (1 - _BETAS[0]) * slope
            second = _BETAS[1] * second + (1 - _BETAS[1]) * slope.square()
            mean, spread = first / (1 - _BETAS[0] ** step), second / (1 - _BETAS[1] ** step)
            stride = rate_km * (1 - (step - 1) / steps) * mean / (spread.sqrt() + 1e-12)
            offset = self._bounded((offset + stride)[:, None])[:, 0]
        if steps:
            with torch.no_grad():
                self._keep(offset, self._scores(offset[:, None])[:, 0])

    def _scores(self, offset_km: Tensor) -> Tensor:
        return self._field.scores(self._query, around(self._at, offset_km)).cpu()

    def _keep(self, offset_km: Tensor, score: Tensor) -> None:
        better = score > self.score
        self.offset_km = torch.where(better[:, None], offset_km, self.offset_km)
        self.score = torch.where(better, score, self.score)

    def _bounded(self, offset_km: Tensor) -> Tensor:
        """Offsets drawn back to within reach of the start."""
        length = offset_km.norm(dim=-1, keepdim=True)
        reach = self._reach_km[:, None, None]
        return torch.where(length > reach, offset_km * (reach / length.clamp(min=1e-9)), offset_km)
