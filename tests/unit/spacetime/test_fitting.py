from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from geoloc.errors import TrainingError
from geoloc.spacetime import FitSettings, fit_network

X = torch.linspace(-1, 1, 64)[:, None]


def fit(network, *, validation, epochs=60, patience=60, seed=0, seen=None):
    def loss(rows):
        if seen is not None:
            seen.append(rows)
        return (network(X[rows]) - (2.0 * X[rows] + 1.0)).abs().mean()

    settings = FitSettings(epochs=epochs, batch=10, learning_rate=0.05, patience=patience)
    return fit_network(network, 64, loss=loss, validation=validation, settings=settings, seed=seed)


def line():
    torch.manual_seed(0)
    return nn.Linear(1, 1)


def test_finds_a_line():
    network = line()
    diary = fit(network, validation=lambda: float((network(X) - 2 * X - 1).abs().mean()))
    assert float(network.weight.detach()) == pytest.approx(2.0, abs=0.02)
    assert float(network.bias.detach()) == pytest.approx(1.0, abs=0.02)
    assert diary.steps == 60 * 7


def test_keeps_the_weights_of_the_best_epoch_and_stops():
    network = line()
    told = iter([3.0, 1.0, 2.0, 1.5, 1.2, 5.0, 0.1])
    kept = []

    def validation():
        kept.append(network.weight.detach().clone())
        return next(told)

    diary = fit(network, validation=validation, patience=3)
    assert diary.validation == (3.0, 1.0, 2.0, 1.5, 1.2)
    assert diary.best_epoch == 1
    assert torch.equal(network.weight.detach(), kept[1])


def test_each_epoch_shows_every_row_once_in_an_order_of_its_own():
    network, seen = line(), []
    fit(network, validation=lambda: 1.0, epochs=2, seen=seen)
    first, second = torch.cat(seen[:7]), torch.cat(seen[7:])
    assert torch.equal(first.sort().values, torch.arange(64))
    assert torch.equal(second.sort().values, torch.arange(64))
    assert not torch.equal(first, second)


def test_a_seed_gives_one_fit():
    weights = []
    for seed in (1, 1, 2):
        network = line()
        fit(network, validation=lambda: 1.0, epochs=2, patience=2, seed=seed)
        # nothing was better than the first epoch, whose weights are kept
        weights.append(float(network.weight.detach()))
    assert weights[0] == weights[1] != weights[2]


def test_an_error_that_is_no_number_is_told():
    with pytest.raises(TrainingError, match="nan after 1 epochs"):
        fit(line(), validation=lambda: math.nan)
