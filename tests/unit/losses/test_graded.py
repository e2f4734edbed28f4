from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.nn import functional

from geoloc.losses import (
    contrastive_loss,
    graded_contrastive_loss,
    sigmoid_loss,
)
from geoloc.pairs import PairFlags


def flags_of(positive, negative, weight) -> PairFlags:
    return PairFlags(
        positive=torch.tensor(positive),
        negative=torch.tensor(negative),
        weight=torch.tensor(weight, dtype=torch.float32),
    )


def test_with_one_positive_a_query_it_is_the_contrastive_loss():
    generator = torch.Generator().manual_seed(0)
    logits = 9.0 * torch.randn(5, 8, generator=generator)
    own = torch.eye(5, 8, dtype=torch.bool)
    weight = torch.where(own, 1.0, 3.0 * torch.rand(5, 8, generator=generator))
    negative = ~own & (torch.rand(5, 8, generator=generator) > 0.2)
    flags = PairFlags(positive=own, negative=negative, weight=weight)
    assert torch.allclose(graded_contrastive_loss(logits, flags), contrastive_loss(logits, flags))
    plain = PairFlags(positive=own, negative=~own, weight=torch.ones(5, 8))
    expected = functional.cross_entropy(logits, torch.arange(5))
    assert float(graded_contrastive_loss(logits, plain)) == pytest.approx(float(expected), abs=1e-6)


@pytest.mark.parametrize("loss", [contrastive_loss, graded_contrastive_loss, sigmoid_loss])
def test_no_weights_are_weights_of_one(loss):
    generator = torch.Generator().manual_seed(3)
    logits = (9.0 * torch.randn(6, 9, generator=generator)).double().requires_grad_()
    draws = torch.rand(6, 9, generator=generator)
    positive = torch.eye(6, 9, dtype=torch.bool) | (draws > 0.9)
    positive[2] = False
    negative = ~positive & (draws > 0.2)
    negative[4] = False
    told = []
    for weight in (None, torch.ones(6, 9)):
        value = loss(logits, PairFlags(positive=positive, negative=negative, weight=weight))
        told.append((value, *torch.autograd.grad(value, logits)))
    for ours, theirs in zip(*told, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-12, atol=1e-12)


def test_equals_a_loop_with_shares_weights_and_ignored_pairs():
    logits = torch.tensor([[2.0, -1.0, 0.5, 3.0], [0.0, 1.0, -2.0, 0.3]])
    flags = flags_of(
        [[True, True, False, False], [False, True, False, False]],
        [[False, False, True, False], [True, False, False, True]],
        [[1.0, 0.25, 2.0, 7.0], [0.5, 1.0, 9.0, 1.0]],
    )
    first_sum = math.exp(2.0) + math.exp(-1.0) + 2.0 * math.exp(0.5)
    first = 0.8 * (math.log(first_sum) - 2.0) + 0.2 * (math.log(first_sum) + 1.0)
    second = math.log(0.5 * math.exp(0.0) + math.exp(1.0) + math.exp(0.3)) - 1.0
    told = float(graded_contrastive_loss(logits, flags))
    assert told == pytest.approx((first + second) / 2, rel=1e-6)


def test_the_optimum_gives_each_positive_its_share():
    flags = flags_of([[True, True, False]], [[False, False, True]], [[1.0, 0.5, 1.0]])
    logits = torch.zeros(1, 3, requires_grad=True)
    optimizer = torch.optim.SGD([logits], lr=1.0)
    for _ in range(3000):
        optimizer.zero_grad()
        graded_contrastive_loss(logits, flags).backward()
        optimizer.step()
    share = logits.detach().softmax(dim=1)[0]
    assert float(share[0] / share[1]) == pytest.approx(2.0, rel=1e-2)
    assert float(share[2]) < 1e-2


@pytest.mark.parametrize("loss", [contrastive_loss, graded_contrastive_loss])
def test_the_gradient_on_a_negative_grows_with_its_weight_also_at_negative_cosine(loss):
    for cosine in (-0.9, -0.2, 0.4):
        gradients = []
        for weight in (0.25, 1.0, 2.0, 5.0):
            logits = torch.tensor([[3.0, 14.0 * cosine, 0.1]], requires_grad=True)
            flags = flags_of([[True, False, False]], [[False, True, True]], [[1.0, weight, 1.0]])
            loss(logits, flags).backward()
            gradients.append(float(logits.grad[0, 1]))
        assert all(b > a > 0 for a, b in itertools.pairwise(gradients))
