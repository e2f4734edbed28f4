from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoloc.evaluation.inequality import gini, worst_mean

values = st.lists(st.floats(0.0, 5000.0), min_size=1, max_size=12)


def test_gini_of_known_distributions():
    assert gini(np.full(7, 3.0)) == pytest.approx(0.0, abs=1e-12)
    assert gini(np.array([0.0, 0.0, 0.0, 9.0])) == pytest.approx(3 / 4)
    assert gini(np.array([1.0, 2.0, 3.0, 4.0])) == pytest.approx(0.25)
    uniform = np.random.default_rng(0).uniform(size=100_000)
    assert gini(uniform) == pytest.approx(1 / 3, abs=0.003)
    exponential = np.random.default_rng(1).exponential(size=100_000)
    assert gini(exponential) == pytest.approx(1 / 2, abs=0.005)
    assert np.isnan(gini(np.zeros(3)))


@given(values)
def test_gini_is_half_the_mean_difference_over_the_mean(given_values):
    value = np.array(given_values)
    if value.sum() < 1e-6:
        return
    naive = np.abs(value[:, None] - value[None]).mean() / (2 * value.mean())
    assert gini(value) == pytest.approx(naive, abs=1e-9)


@given(values, st.data())
def test_a_weight_is_a_number_of_copies(given_values, data):
    value = np.array(given_values) + 1.0
    copies = np.array(
        data.draw(st.lists(st.integers(0, 4), min_size=len(value), max_size=len(value)))
    )
    if not copies.sum():
        return
    weight, repeated = copies.astype(float), np.repeat(value, copies)
    assert gini(value, weight) == pytest.approx(float(gini(repeated)), abs=1e-9)
    assert worst_mean(value, 0.3, weight) == pytest.approx(float(worst_mean(repeated, 0.3)))


def test_the_worst_tenth_counts_the_member_on_its_edge_in_part():
    assert worst_mean(np.arange(10.0), 0.1) == pytest.approx(0.0)
    assert worst_mean(np.arange(10.0), 0.25) == pytest.approx((0 + 1 + 0.5 * 2) / 2.5)
    assert worst_mean(np.arange(10.0), 1.0) == pytest.approx(4.5)
    rows = np.array([[3.0, 1.0, 2.0], [5.0, 9.0, 7.0]])
    np.testing.assert_allclose(worst_mean(rows, 1 / 3), [1.0, 5.0])


def test_what_has_no_inequality():
    with pytest.raises(ValueError, match="not negative"):
        gini(np.array([1.0, -1.0]))
    with pytest.raises(ValueError, match=r"\(0, 1\]"):
        worst_mean(np.ones(3), 0.0)
