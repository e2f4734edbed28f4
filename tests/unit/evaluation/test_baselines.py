from __future__ import annotations

import numpy as np
import pytest

from geoloc.errors import CoordinateError, DataError
from geoloc.evaluation import (
    baseline_places,
    baseline_scores,
    best_constant_place,
    score_guesses,
)
from geoloc.geodesy import great_circle_km, pairwise_great_circle_km, sample_sphere


def test_median_guess_equals_the_exhaustive_medoid():
    places = sample_sphere(400, generator=np.random.default_rng(0))
    cost = np.median(pairwise_great_circle_km(places, places), axis=1)
    np.testing.assert_array_equal(best_constant_place(places), places[int(np.argmin(cost))])


def test_mean_guess_is_no_worse_than_any_training_place_nor_any_neighbour():
    generator = np.random.default_rng(1)
    places = np.array([52.0, 175.0]) + generator.normal(0, 8.0, (300, 2))
    places[:, 1] = (places[:, 1] + 180) % 360 - 180
    guess = best_constant_place(places, objective="mean")
    cost = float(np.mean(great_circle_km(guess, places)))
    assert cost <= pairwise_great_circle_km(places, places).mean(axis=1).min()
    around = guess + generator.normal(0, 0.5, (500, 2))
    assert cost <= pairwise_great_circle_km(around, places).mean(axis=1).min() + 1e-6


def test_geometric_median_of_three_is_the_fermat_point_not_a_vertex():
    corners = np.array([[1.0, 0.0], [-0.5, np.sqrt(3) / 2], [-0.5, -np.sqrt(3) / 2]])
    guess = best_constant_place(corners, objective="mean")
    np.testing.assert_allclose(guess, [0.0, 0.0], atol=1e-3)


def test_one_place_many_times():
    same = np.tile([[10.0, 20.0]], (5, 1))
    for objective in ("median", "mean"):
        np.testing.assert_allclose(best_constant_place(same, objective=objective), [10.0, 20.0])


def test_large_sets_are_sampled_and_still_near_the_best():
    generator = np.random.default_rng(2)
    places = np.array([40.0, 10.0]) + generator.normal(0, 3.0, (20_000, 2))
    guess = best_constant_place(places, seed=1)
    assert float(great_circle_km(guess, np.array([40.0, 10.0]))) < 60.0
    np.testing.assert_array_equal(guess, best_constant_place(places, seed=1))


def test_bad_training_places_are_refused():
    with pytest.raises(DataError, match="training places"):
        best_constant_place(np.empty((0, 2)))
    with pytest.raises(CoordinateError):
        best_constant_place(np.array([[np.nan, 0.0]]))
    with pytest.raises(DataError, match="gallery"):
        baseline_places(3, np.zeros((1, 2)), np.empty((0, 2)))


def test_random_pick_is_seeded_and_from_the_gallery():
    gallery = sample_sphere(30, generator=np.random.default_rng(3))
    one, again, other = (
        baseline_places(200, gallery[:5], gallery, seed=seed)["random gallery place"]
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    assert {tuple(place) for place in one} <= {tuple(place) for place in gallery}
    assert len({tuple(place) for place in one}) > 25


def test_baselines_are_scored_like_everything_else(world):
    training = world[["true_lat_deg", "true_lon_deg"]].to_numpy()
    scores = baseline_scores(world, training, training, protocol="osv5m-official", seed=4)
    median = scores["constant guess (least median)"].summary["median_km"]
    mean = scores["constant guess (least mean)"].summary["mean_km"]
    random = scores["random gallery place"].summary
    cost = pairwise_great_circle_km(training, training)
    assert median == pytest.approx(np.median(cost, axis=1).min())
    assert mean <= cost.mean(axis=1).min()
    assert random["median_km"] > median
    assert random["mean_km"] > mean
    assert {one.count for one in scores.values()} == {500}
    assert 0 < scores["random gallery place"].metrics["Accuracy_country"] < 0.2


def test_constant_guesses_know_the_training_places_and_nothing_of_the_evaluated_ones(world):
    here = np.array([[12.0, 34.0]])
    scores = baseline_scores(world, here, here, protocol="osv5m-official")
    truth = world[["true_lat_deg", "true_lon_deg"]].to_numpy()
    distance_km = pairwise_great_circle_km(here, truth)[0]
    for one in scores.values():
        assert one.summary["mean_km"] == pytest.approx(distance_km.mean())
        assert one.summary["median_km"] == pytest.approx(np.median(distance_km))


def test_guesses_made_once_score_as_guesses_made_anew(world):
    some = world.iloc[:60]
    places = some[["true_lat_deg", "true_lon_deg"]].to_numpy()
    guesses = baseline_places(len(some), places, places, seed=3)
    given = score_guesses(some, guesses, protocol="geoclip", seed=3)
    anew = baseline_scores(some, places, places, protocol="geoclip", seed=3)
    assert {name: one.summary for name, one in given.items()} == {
        name: one.summary for name, one in anew.items()
    }
