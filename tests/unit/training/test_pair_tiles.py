"""The loss taken in tiles, against the same loss from the whole pair matrix by autograd."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from geoloc.losses import (
    PairLoss,
    contrastive_loss,
    graded_contrastive_loss,
    sigmoid_loss,
)
from geoloc.pairs import PairFlags
from geoloc.training.pair_tiles import PairTiling, pair_logits, pair_tiles_loss

QUERIES, CANDIDATES = 11, 17
LOSSES = [contrastive_loss, graded_contrastive_loss, sigmoid_loss]


def problem(seed: int, *, dtype: torch.dtype = torch.float64) -> tuple[list[Tensor], PairFlags]:
    generator = torch.Generator().manual_seed(seed)
    image, place = (
        functional.normalize(torch.randn(n, 8, generator=generator, dtype=dtype), dim=1)
        for n in (QUERIES, CANDIDATES)
    )
    scale, bias = torch.tensor(7.0, dtype=dtype), torch.tensor(-3.0, dtype=dtype)
    kind = torch.rand(QUERIES, CANDIDATES, generator=generator)
    own = torch.eye(QUERIES, CANDIDATES, dtype=torch.bool)
    positive = own | (kind < 0.1)
    negative = ~positive & (kind < 0.9)
    weight = torch.where(own, 1.0, 0.2 + 2 * torch.rand(QUERIES, CANDIDATES, generator=generator))
    # A query and a place that nothing can be said of.
    positive[3], negative[3], positive[:, 5], negative[:, 5] = False, False, False, False
    inputs = [each.requires_grad_() for each in (image, place, scale, bias)]
    return inputs, PairFlags(positive=positive, negative=negative, weight=weight)


def some(flags: PairFlags, rows: slice) -> PairFlags:
    return PairFlags(
        positive=flags.positive[rows], negative=flags.negative[rows], weight=flags.weight[rows]
    )


def tiled(inputs: list[Tensor], flags: PairFlags, **how: Any) -> Tensor:
    image, place, scale, bias = inputs
    return pair_tiles_loss(
        image,
        place,
        lambda rows: some(flags, rows),
        scale=scale,
        bias=bias,
        batch_places=QUERIES,
        **how,
    )


def whole(inputs: list[Tensor], flags: PairFlags, loss: PairLoss, *, both_ways: bool) -> Tensor:
    logits = pair_logits(*inputs)
    there = loss(logits, flags)
    if not both_ways:
        return there
    # Transposed by hand, not by what is tested.
    square = PairFlags(
        positive=flags.positive[:, :QUERIES].T,
        negative=flags.negative[:, :QUERIES].T,
        weight=flags.weight[:, :QUERIES].T,
    )
    return (there + loss(logits[:, :QUERIES].T, square)) / 2


@pytest.mark.parametrize("loss", LOSSES, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("both_ways", [False, True])
@pytest.mark.parametrize("pairs", [None, 1, 3 * CANDIDATES, 5 * CANDIDATES + 1])
def test_value_and_gradients_are_those_of_the_whole(
    loss: PairLoss, both_ways: bool, pairs: int | None
) -> None:
    inputs, flags = problem(0)
    expected = whole(inputs, flags, loss, both_ways=both_ways)
    gradients = torch.autograd.grad(2.5 * expected, inputs)
    tiling = PairTiling(loss=loss, both_ways=both_ways, pairs=pairs)
    told = tiled(inputs, flags, tiling=tiling)
    # The widest dtype of weights is float32 here, which the losses widen again.
    torch.testing.assert_close(told, expected.detach(), rtol=1e-12, atol=1e-12)
    for found, gradient in zip(torch.autograd.grad(2.5 * told, inputs), gradients, strict=True):
        torch.testing.assert_close(found, gradient, rtol=1e-10, atol=1e-12)


def test_both_ways_is_clips_loss_and_leaves_the_queue_out_of_the_way_back() -> None:
    inputs, _ = problem(4)
    own = torch.eye(QUERIES, CANDIDATES, dtype=torch.bool)
    plain = PairFlags(positive=own, negative=~own, weight=torch.ones(own.shape))
    logits, target = pair_logits(*inputs), torch.arange(QUERIES)
    expected = functional.cross_entropy(logits, target)
    expected = (expected + functional.cross_entropy(logits[:, :QUERIES].T, target)) / 2
    told = tiled(inputs, plain, tiling=PairTiling(loss=contrastive_loss, both_ways=True, pairs=40))
    torch.testing.assert_close(told, expected)


def test_every_pair_is_watched_once_and_tiles_are_as_small_as_asked() -> None:
    inputs, flags = problem(1)
    seen = torch.zeros(QUERIES, CANDIDATES)

    def watch(rows: slice, logits: Tensor, of: PairFlags) -> None:
        assert logits.numel() <= 2 * CANDIDATES
        assert torch.equal(of.positive, flags.positive[rows])
        torch.testing.assert_close(logits, pair_logits(*inputs)[rows].detach())
        seen[rows] += 1

    tiled(
        inputs,
        flags,
        tiling=PairTiling(loss=contrastive_loss, pairs=2 * CANDIDATES),
        watch=watch,
    )
    assert bool((seen == 1).all())


def test_gradients_of_bfloat16_embeddings_are_added_up_in_float32() -> None:
    inputs, flags = problem(2, dtype=torch.float32)
    half = [each.detach().bfloat16().requires_grad_() for each in inputs[:2]]
    wide = [each.detach().float().requires_grad_() for each in half]
    rest = inputs[2:]
    tiling = PairTiling(loss=contrastive_loss, pairs=CANDIDATES)
    tiled([*half, *rest], flags, tiling=tiling).backward()
    tiled([*wide, *rest], flags, tiling=tiling).backward()
    for narrow, broad in zip(half, wide, strict=True):
        assert narrow.grad is not None
        assert narrow.grad.dtype == torch.bfloat16
        assert torch.equal(narrow.grad, broad.grad.bfloat16())


def test_the_sigmoid_loss_is_a_logistic_regression_of_pairs() -> None:
    inputs, flags = problem(3)
    logits = pair_logits(*inputs)
    expected = 0.0
    for i in range(QUERIES):
        for j in range(CANDIDATES):
            if flags.positive[i, j] or flags.negative[i, j]:
                sign = 1.0 if flags.positive[i, j] else -1.0
                chance = torch.sigmoid(sign * logits[i, j])
                expected = expected - flags.weight[i, j] * chance.log()
    torch.testing.assert_close(sigmoid_loss(logits, flags), expected / QUERIES)
