from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from geoloc.losses import contrastive_loss
from geoloc.pairs import PairFlags


def plain_flags(queries: int, candidates: int) -> PairFlags:
    own = torch.eye(queries, candidates, dtype=torch.bool)
    return PairFlags(positive=own, negative=~own, weight=torch.ones(queries, candidates))


def random_case(seed: int, queries: int = 6, candidates: int = 9):
    generator = torch.Generator().manual_seed(seed)
    logits = 8 * torch.randn(queries, candidates, generator=generator, dtype=torch.float64)
    kind = torch.randint(0, 3, (queries, candidates), generator=generator)
    weight = 3 * torch.rand(queries, candidates, generator=generator, dtype=torch.float64)
    weight[torch.rand(queries, candidates, generator=generator) < 0.2] = 0.0
    positive, negative = kind == 0, kind == 1
    diagonal = torch.eye(queries, candidates, dtype=torch.bool)
    positive, negative = positive | diagonal, negative & ~diagonal
    weight[diagonal] = weight[diagonal].clamp(min=0.5)
    return logits, PairFlags(positive=positive, negative=negative, weight=weight)


def naive_loss(logits: torch.Tensor, flags: PairFlags) -> float:
    losses = []
    for i in range(logits.shape[0]):
        up = down = 0.0
        for j in range(logits.shape[1]):
            term = flags.weight[i, j].item() * math.exp(logits[i, j].item())
            if flags.positive[i, j]:
                up += term
                down += term
            elif flags.negative[i, j]:
                down += term
        if up > 0:
            losses.append(-math.log(up / down))
    return sum(losses) / max(len(losses), 1)


@pytest.mark.parametrize(("queries", "candidates"), [(1, 1), (4, 4), (5, 17)])
def test_plain_case_is_cross_entropy(queries, candidates):
    torch.manual_seed(0)
    logits = 5 * torch.randn(queries, candidates)
    expected = F.cross_entropy(logits, torch.arange(queries))
    torch.testing.assert_close(contrastive_loss(logits, plain_flags(queries, candidates)), expected)


@given(st.integers(0, 10_000))
def test_equals_naive_loop(seed):
    logits, flags = random_case(seed)
    assert contrastive_loss(logits, flags).item() == pytest.approx(
        naive_loss(logits, flags), rel=1e-9, abs=1e-12
    )


def test_weight_multiplies_the_term_not_the_logit():
    logits = torch.tensor([[2.0, -3.0]])
    flags = PairFlags(
        positive=torch.tensor([[True, False]]),
        negative=torch.tensor([[False, True]]),
        weight=torch.tensor([[1.0, 4.0]]),
    )
    expected = math.log(1 + 4 * math.exp(-5))
    assert contrastive_loss(logits, flags).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("cosine", [-0.9, -0.2, 0.0, 0.7])
def test_gradient_on_a_negative_grows_with_its_weight(cosine):
    gradients = []
    for weight in (0.0, 0.5, 1.0, 2.0, 5.0):
        logits = torch.tensor([[3.0, 10 * cosine, -1.0]], requires_grad=True)
        own = torch.tensor([[True, False, False]])
        flags = PairFlags(positive=own, negative=~own, weight=torch.tensor([[1.0, weight, 1.0]]))
        contrastive_loss(logits, flags).backward()
        assert logits.grad is not None
        gradients.append(logits.grad[0, 1].item())
    assert gradients[0] == 0.0
    assert all(a < b for a, b in itertools.pairwise(gradients))


def test_ignored_pairs_and_zero_weights_get_no_gradient_and_change_nothing():
    logits, flags = random_case(3)
    absent = ~(flags.positive | flags.negative) | (flags.weight == 0)
    assert absent.any()
    logits.requires_grad_()
    loss = contrastive_loss(logits, flags)
    loss.backward()
    assert (logits.grad[absent] == 0).all()
    moved = torch.where(absent, logits.detach() + 50, logits.detach())
    assert contrastive_loss(moved, flags).item() == loss.item()
    ignored = PairFlags(
        positive=flags.positive & ~absent, negative=flags.negative & ~absent, weight=flags.weight
    )
    assert contrastive_loss(logits, ignored).item() == loss.item()


def test_no_gradient_reaches_the_weights():
    logits, flags = random_case(4)
    weight = flags.weight.clone().requires_grad_()
    logits.requires_grad_()
    contrastive_loss(
        logits, PairFlags(positive=flags.positive, negative=flags.negative, weight=weight)
    ).backward()
    assert weight.grad is None


def test_query_without_negatives_costs_nothing_and_stays_finite():
    logits = torch.tensor([[1.0, 2.0], [3.0, -1.0]], requires_grad=True)
    flags = PairFlags(
        positive=torch.tensor([[True, False], [True, False]]),
        negative=torch.tensor([[False, False], [False, True]]),
        weight=torch.ones(2, 2),
    )
    loss = contrastive_loss(logits, flags)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-4)) / 2, rel=1e-5)
    assert torch.isfinite(logits.grad).all()
    assert (logits.grad[0] == 0).all()


def test_query_without_positive_is_left_out_of_the_mean():
    logits = torch.tensor([[1.0, 2.0], [3.0, -1.0]], requires_grad=True)
    flags = PairFlags(
        positive=torch.tensor([[True, False], [True, False]]),
        negative=torch.tensor([[False, True], [False, True]]),
        weight=torch.tensor([[0.0, 1.0], [1.0, 1.0]]),
    )
    loss = contrastive_loss(logits, flags)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-4)), rel=1e-5)
    assert (logits.grad[0] == 0).all()
    nothing = PairFlags(
        positive=torch.zeros(2, 2, dtype=torch.bool),
        negative=flags.negative,
        weight=flags.weight,
    )
    assert contrastive_loss(logits.detach(), nothing).item() == 0.0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_give_a_float32_loss(dtype):
    torch.manual_seed(1)
    logits = (30 * torch.randn(16, 64)).to(dtype)
    loss = contrastive_loss(logits, plain_flags(16, 64))
    assert loss.dtype == torch.float32
    expected = F.cross_entropy(logits.float(), torch.arange(16))
    torch.testing.assert_close(loss, expected)


def test_extreme_logits_stay_finite():
    logits = torch.tensor([[1e4, -1e4], [-1e4, 1e4]], requires_grad=True)
    other = ~torch.eye(2, dtype=torch.bool)
    flags = PairFlags(positive=other, negative=~other, weight=torch.ones(2, 2))
    loss = contrastive_loss(logits, flags)
    loss.backward()
    assert loss.item() == pytest.approx(2e4)
    assert torch.isfinite(logits.grad).all()
