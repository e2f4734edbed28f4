from __future__ import annotations

import math
from fractions import Fraction

import pytest

from geoloc.errors import DataError
from geoloc.evaluation import compare_tables, prediction_table, same_images, score_table
from geoloc.evaluation.pairing import holm, mcnemar_p_value


def pair(world, better):
    """A system and another that lies `better` of the way nearer to the truth."""
    near = world.copy()
    for axis in ("lat_deg", "lon_deg"):
        near[f"pred_{axis}"] -= better * (near[f"pred_{axis}"] - near[f"true_{axis}"])
    return same_images({"old": prediction_table(world), "new": prediction_table(near)})


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (3, 0), (8, 2), (30, 11), (5, 5)])
def test_mcnemar_counts_coin_throws(gained, lost):
    count = gained + lost
    tail = sum(math.comb(count, k) for k in range(min(gained, lost) + 1))
    exact = min(Fraction(1), 2 * Fraction(tail, 2**count))
    assert mcnemar_p_value(gained, lost) == pytest.approx(float(exact))


def test_holm_of_a_textbook_example():
    # sorted 0.01, 0.013, 0.03, 0.2 times 4, 3, 2, 1, never falling
    assert holm([0.03, 0.01, 0.2, 0.013]) == pytest.approx([0.06, 0.04, 0.2, 0.04])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_differences_are_those_of_the_scores_and_their_signs_mean_second_minus_first(world):
    tables = pair(world, 0.5)
    (told,) = compare_tables(tables, "osv5m-clean", resamples=200)
    scores = {n: score_table(t, ["osv5m-clean"], resamples=0)[0] for n, t in tables.items()}
    assert (told.first, told.second, told.count) == ("old", "new", 500)
    for each in told.differences:
        values = [(s.metrics | s.summary)[each.metric] for s in scores.values()]
        assert [each.first, each.second] == pytest.approx(values)
        assert each.low <= each.difference <= each.high
    by = {each.metric: each for each in told.differences}
    assert by["Haversine"].high < 0 < by["Geoguessr"].low
    assert by["Accuracy_25_km_radius"].low > 0
    assert by["Accuracy_25_km_radius"].holm_p_value < 0.05
    assert by["Haversine"].mcnemar_p_value is None


def test_gained_and_lost_are_counted_image_by_image(make_table):
    true = [[0.0, 10.0 * row] for row in range(12)]
    off = [[0.0, 10.0 * row + (0.1 if row < 7 else 5.0)] for row in range(12)]
    other = [[0.0, 10.0 * row + (0.1 if row % 2 else 5.0)] for row in range(12)]
    tables = {"a": prediction_table(make_table(true, off))}
    tables["b"] = prediction_table(make_table(true, other))
    (told,) = compare_tables(same_images(tables), "geoclip", resamples=100)
    at = next(each for each in told.differences if each.metric == "Accuracy_25_km_radius")
    assert (at.gained, at.lost) == (3, 4)
    assert at.difference == pytest.approx(-1 / 12)
    assert at.mcnemar_p_value == mcnemar_p_value(3, 4)


def test_a_system_and_its_copy_do_not_differ(world):
    (told,) = compare_tables(pair(world, 0.0), "osv5m-official", resamples=100)
    for each in told.differences:
        assert (each.difference, each.low, each.high) == (0.0, 0.0, 0.0)
        assert each.p_value == each.holm_p_value == 1.0


def test_three_systems_make_three_pairs_each_with_every_later_one(world):
    table = prediction_table(world)
    told = compare_tables({"a": table, "b": table, "c": table}, "geoclip", resamples=100)
    assert [(c.first, c.second) for c in told] == [("a", "b"), ("a", "c"), ("b", "c")]


def test_images_of_one_block_say_nothing(make_table):
    table = prediction_table(make_table([[48.0, 2.0]] * 3, [[48.0, 3.0]] * 3))
    with pytest.raises(DataError, match="one block"):
        compare_tables({"a": table, "b": table}, "geoclip")
