from __future__ import annotations

import json

import numpy as np
import pytest
from softmax_worlds import softmax_world

from geoloc.errors import DataError
from geoloc.evaluation.calibration import reliability, split_reliability


def _said_and_happened(count, *, seed, too_sure=0.0):
    generator = np.random.default_rng(seed)
    probability = generator.uniform(0.0, 1.0 - too_sure, count)
    return probability + too_sure, generator.random(count) < probability


def _told(probability, happened, **options):
    block = np.arange(len(probability)) // 10
    return reliability(probability, happened, block, radius_km=200.0, **options)


def test_a_softmax_that_draws_its_own_truth_is_calibrated_at_every_radius():
    split = softmax_world(4000, 400, scale=12.0)
    right = split_reliability(split, 12.0, radii_km=(1500.0, 4000.0), resamples=50)
    wrong = split_reliability(split, 30.0, radii_km=(1500.0, 4000.0), resamples=50)
    for good, bad in zip(right, wrong, strict=True):
        assert good.ece < 2.0 * good.ece_by_chance
        assert bad.ece > 5.0 * bad.ece_by_chance
        assert bad.brier > good.brier
        assert bad.log_loss > good.log_loss
        assert bad.confidence > bad.outcome + 0.1


def test_the_error_of_exact_probabilities_is_that_of_chance_and_a_shift_is_seen():
    exact = _told(*_said_and_happened(8000, seed=1))
    assert exact.ece == pytest.approx(exact.ece_by_chance, rel=0.5)
    assert exact.ece < 0.03
    shifted = _told(*_said_and_happened(8000, seed=1, too_sure=0.2))
    assert shifted.ece == pytest.approx(0.2, abs=0.01)
    low, high = shifted.ece_interval
    assert low < 0.2 < high


def test_the_figures_are_those_of_a_naive_loop():
    probability, happened = _said_and_happened(103, seed=2)
    told = _told(probability, happened, bins=10)
    ordered = sorted(zip(probability.tolist(), happened.tolist(), strict=True))
    start, error = 0, 0.0
    assert sum(each.count for each in told.bins) == 103
    for each in told.bins:
        members = ordered[start : start + each.count]
        start += each.count
        confidence = sum(p for p, _ in members) / each.count
        outcome = sum(h for _, h in members) / each.count
        assert (each.confidence, each.outcome) == pytest.approx((confidence, outcome))
        error += each.count * abs(confidence - outcome)
    assert told.ece == pytest.approx(error / 103)
    assert {each.count for each in told.bins} == {10, 11}
    brier = [(p - h) ** 2 for p, h in ordered]
    assert told.brier == pytest.approx(sum(brier) / 103)
    losses = [-np.log(p if h else 1 - p) for p, h in ordered]
    assert told.log_loss == pytest.approx(sum(losses) / 103)


def test_intervals_hold_the_figure_and_vanish_with_one_block():
    probability, happened = _said_and_happened(400, seed=3)
    told = _told(probability, happened)
    for value, interval in (
        (told.brier, told.brier_interval),
        (told.log_loss, told.log_loss_interval),
    ):
        assert interval[0] < value < interval[1]
    alone = reliability(probability, happened, np.zeros(400, dtype=np.int64), radius_km=1.0)
    assert (alone.ece_interval, alone.brier_interval, alone.log_loss_interval) == (None,) * 3


def test_neighbours_that_are_right_together_widen_the_interval_of_the_error():
    generator = np.random.default_rng(4)
    probability = np.full(2000, 0.6)
    together = np.repeat(generator.random(40) < 0.5, 50)
    block = np.repeat(np.arange(40), 50)
    wide = reliability(probability, together, block, radius_km=1.0, bins=1)
    narrow = reliability(probability, together, np.arange(2000), radius_km=1.0, bins=1)
    assert np.ptp(wide.ece_interval) > 3 * np.ptp(narrow.ece_interval)


def test_certain_and_wrong_is_finite_and_json():
    told = _told(np.array([1.0, 0.0]), np.array([False, True]))
    assert np.isfinite(told.log_loss)
    assert json.loads(json.dumps(told.to_json(), allow_nan=False))["bins"][0]["count"] == 1
    with pytest.raises(DataError, match="no images"):
        _told(np.zeros(0), np.zeros(0, dtype=bool))
