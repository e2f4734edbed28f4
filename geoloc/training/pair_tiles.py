"""pair_tiles_loss: the loss of all pairs of images and places, of which only a tile exists at once.

    images of this process ──┐
    places of all processes ─┴─ a tile: logits, flags → terms → loss of its queries
                                             └→ terms of the places, merged over tiles and
                                                processes → loss of the places

Each tile holds some queries with all their candidates, because a rule may look at a query's
candidates together. Tiles are computed once for the loss and once more for its gradient, so that
memory grows with the tile and not with the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from geoloc.losses import PairLoss, PairTerms, transposed, wide
from geoloc.pairs import PairFlags
from geoloc.ranks import Ranks

Judge: TypeAlias = Callable[[slice], PairFlags]
"""From some of the queries to the flags of their pairs with all candidates; may be asked twice."""

Watch: TypeAlias = Callable[[slice, Tensor, PairFlags], None]
"""Is shown the logits and flags of each tile once, without gradient."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairTiling:
    """How the loss of a pair matrix is taken.

    Attributes:
        loss: of each query.
        both_ways: whether places are queries too, among the images of the batch (of all
            processes); the loss is then the mean of both.
        pairs: most pairs that exist at once; None for all of them.
        ranks: the processes that share the batch.
    """

    loss: PairLoss
    both_ways: bool = False
    pairs: int | None = None
    ranks: Ranks = field(default_factory=Ranks)

    def tiles(self, queries: int, candidates: int) -> list[slice]:
        """Queries of each tile, one at least."""
        step = queries if self.pairs is None else max(1, self.pairs // max(candidates, 1))
        return [slice(first, min(first + step, queries)) for first in range(0, queries, step)]


def pair_tiles_loss(
    image: Float[Tensor, "query embedding"],
    place: Float[Tensor, "candidate embedding"],
    judge: Judge,
    *,
    scale: Float[Tensor, ""],
    bias: Float[Tensor, ""] | None = None,
    tiling: PairTiling,
    batch_places: int,
    watch: Watch | None = None,
) -> Float[Tensor, ""]:
    """The loss of the images' logits against the places, times what averaging needs.

    With several processes every one calls it with its own images and the same places, and gets
    `ranks.size` times its share: averaged over processes (as DistributedDataParallel averages
    gradients) value and gradient are those of one process that has all images.

    Args:
        image: unit embeddings of this process's queries.
        place: unit embeddings of all candidates, the same on every process.
        judge: gives the flags of a tile.
        scale: of the logits.
        bias: added to every logit; only a sigmoid loss makes something of it.
        tiling: loss, directions, tile and processes.
        batch_places: so many of the first candidates are the places of the batch (of all
            processes, in the order of ranks), whose images the queries are.
        watch: sees every tile, for what is worth logging.
    """
    task = _Task(judge=judge, tiling=tiling, batch_places=batch_places, watch=watch)
    given = (image, place, scale) if bias is None else (image, place, scale, bias)
    return _TiledLoss.apply(task, *given)


def pair_logits(
    image: Float[Tensor, "query embedding"],
    place: Float[Tensor, "candidate embedding"],
    scale: Float[Tensor, ""],
    bias: Float[Tensor, ""] | None = None,
) -> Float[Tensor, "query candidate"]:
    """Scaled cosines, float32 at least also under autocast: bf16 logits near 100 are 0.5 apart."""
    with torch.autocast(image.device.type, enabled=False):
        logits = (wide(scale) * wide(image)) @ wide(place).T
        return logits if bias is None else logits + wide(bias)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """What stays the same from tile to tile."""

    judge: Judge
    tiling: PairTiling
    batch_places: int
    watch: Watch | None


@dataclass(slots=True)
class _Tile:
    """What one tile gives: the summed loss of its queries, how many count, terms of the places.

    `image` is its part of the images, a leaf: a gradient of all images would be mostly zeros.
    """

    image: Tensor
    loss: Float[Tensor, ""]
    scored: Float[Tensor, ""]
    places: PairTerms | None


class _TiledLoss(torch.autograd.Function):
    """The gradient is computed with the value; backward only multiplies."""

    @staticmethod
    def forward(ctx: Any, task: _Task, *given: Tensor) -> Tensor:
        # Widened first: gradients of many tiles are to be added up in float32.
        inputs = [wide(each.detach()).requires_grad_() for each in given]
        value, gradients = _value_and_gradients(inputs, task)
        ctx.save_for_backward(*(g.to(of.dtype) for g, of in zip(gradients, given, strict=True)))
        return value

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return (None, *(gradient * upstream[0] for gradient in ctx.saved_tensors))


def _value_and_gradients(inputs: list[Tensor], task: _Task) -> tuple[Tensor, list[Tensor]]:
    image, place = inputs[:2]
    tiling, ranks = task.tiling, task.tiling.ranks
    tiles = tiling.tiles(len(image), len(place))
    # A single tile is kept with its graph; several are computed anew for their gradient.
    keep = len(tiles) == 1
    kept: list[_Tile] = []
    places: PairTerms | None = None
    # Added up in place: what a tile leaves behind would lie in the way of the next one's memory.
    sums = image.new_zeros(2)
    for rows in tiles:
        with torch.set_grad_enabled(keep):
            tile = _tile(inputs, rows, task, watch=task.watch)
        sums += torch.stack([tile.loss, tile.scored]).detach()
        if tile.places is not None:
            places = tile.places if places is None else places.merged(tile.places)
        if keep:
            kept.append(tile)
    loss, scored = ranks.total(sums)
    weight = 1.0 / scored.clamp(min=1)
    value = loss * weight
    merged, asked = None, None
    if places is not None:
        merged = _merged(places, ranks)
        back, asked = _places_loss(merged, tiling.loss)
        value, weight = (value + back) / 2, weight / 2
        asked = PairTerms(asked.log_sums / 2, asked.sums / 2)
    again = iter(kept) if keep else _tiles(inputs, tiles, task)
    gradients = [torch.zeros_like(each) for each in inputs]
    for rows, tile in zip(tiles, again, strict=True):
        with torch.enable_grad():
            target = tile.loss * weight
            if merged is not None and asked is not None and tile.places is not None:
                target = target + _share_of(tile.places, merged, asked)
        mine, *found = _gradients(target, [tile.image, *inputs[1:]])
        gradients[0][rows] = mine
        for gradient, part in zip(gradients[1:], found, strict=True):
            gradient += part
    return value, [gradient * ranks.size for gradient in gradients]


def _tiles(inputs: list[Tensor], tiles: list[slice], task: _Task) -> Iterator[_Tile]:
    for rows in tiles:
        with torch.enable_grad():
            yield _tile(inputs, rows, task)


def _tile(inputs: list[Tensor], rows: slice, task: _Task, watch: Watch | None = None) -> _Tile:
    image, *others = inputs
    loss = task.tiling.loss
    with torch.no_grad():
        flags = task.judge(rows)
    mine = image[rows].detach().requires_grad_()
    logits = pair_logits(mine, *others)
    if watch is not None:
        watch(rows, logits.detach(), flags)
    each, scored = loss.per_query(loss.terms(logits, flags))
    places = None
    if task.tiling.both_ways:
        count = task.batch_places
        places = loss.terms(logits[:, :count].T, transposed(flags, count))
    return _Tile(mine, each.sum(), scored.sum().to(each.dtype), places)


def _merged(whole: PairTerms, ranks: Ranks) -> PairTerms:
    """The terms of the places over all processes, without gradient."""
    log_sums = torch.logsumexp(ranks.stacked(whole.log_sums), dim=0)
    return PairTerms(log_sums, ranks.total(whole.sums))


def _places_loss(merged: PairTerms, loss: PairLoss) -> tuple[Tensor, PairTerms]:
    """The mean loss of the places, and its gradient in their terms."""
    terms = PairTerms(
        merged.log_sums.detach().requires_grad_(), merged.sums.detach().requires_grad_()
    )
    with torch.enable_grad():
        each, scored = loss.per_query(terms)
        mean = each.sum() / scored.sum().clamp(min=1)
    return mean.detach(), PairTerms(*_gradients(mean, [terms.log_sums, terms.sums]))


def _gradients(value: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    """Zero where the value does not depend on an input."""
    return list(torch.autograd.grad(value, inputs, materialize_grads=True))


def _share_of(part: PairTerms, merged: PairTerms, asked: PairTerms) -> Tensor:
    """A number whose gradient in a tile's logits is that of the places' loss.

    The derivative of a merged log-sum in one of its parts is exp(part - whole).
    """
    share = (part.log_sums.detach() - merged.log_sums).exp()
    return (part.log_sums * share * asked.log_sums).sum() + (part.sums * asked.sums).sum()
