from __future__ import annotations

import numpy as np
import pytest

from geoloc.evaluation.country_ratios import country_ratios, misplaced
from geoloc.evaluation.group_draws import GroupDraws


def planted():
    """100 images each of A, B and C in 20 blocks; half of B is taken for A, 10 of C for the sea."""
    true = np.repeat(np.array(["A", "B", "C"], dtype=object), 100)
    predicted = true.copy()
    predicted[100:150] = "A"
    predicted[200:210] = None
    predicted[210:212] = "D"
    return true, predicted, GroupDraws.of(np.arange(300) % 20, resamples=300, seed=0)


def test_a_planted_confusion_is_found():
    true, predicted, draws = planted()
    found = {row.country: row for row in country_ratios(true, predicted, draws)}
    assert list(found) == ["A", "C", "B", "D"]
    assert [row.predicted_count for row in found.values()] == [150, 88, 50, 2]
    assert [row.ratio.value for row in list(found.values())[:3]] == pytest.approx([1.5, 0.88, 0.5])
    assert found["A"].ratio.low < 1.5 < found["A"].ratio.high
    assert found["D"].true_count == 0
    assert found["D"].ratio is None


def test_a_country_in_few_blocks_has_no_interval():
    true = np.array(["A"] * 50 + ["B"] * 50, dtype=object)
    block = np.concatenate([np.arange(50) % 10, np.full(50, 99)])
    draws = GroupDraws.of(block, resamples=100, seed=0)
    found = {row.country: row.ratio for row in country_ratios(true, true, draws)}
    assert found["A"].low == found["A"].high == 1.0
    assert found["B"].value == 1.0
    assert found["B"].low is None


def test_misplaced_images_are_those_that_would_have_to_move():
    true, predicted, draws = planted()
    found = misplaced(true, predicted, draws)
    assert found.value == pytest.approx(62 / 300)
    assert found.low < found.value < found.high
    shuffled = np.random.default_rng(0).permutation(true)
    assert misplaced(true, shuffled, draws).value == 0.0
