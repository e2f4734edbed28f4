from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from geoloc.errors import ConfigError
from geoloc.inference.gallery_posterior import GalleryPosterior
from geoloc.inference.trip import Travel, check_times, smoothed, trip_posterior

# Two towns 111 km apart, and one at the other end of the Earth.
TOWNS = np.array([[0.0, 10.0], [1.0, 10.0], [0.0, -170.0]])


def test_smoothing_equals_the_sum_over_all_paths() -> None:
    generator = torch.Generator().manual_seed(0)
    sizes = (3, 4, 2)
    seen = [torch.rand(size, generator=generator, dtype=torch.float64) for size in sizes]
    steps = [
        torch.rand(before, after, generator=generator, dtype=torch.float64)
        for before, after in itertools.pairwise(sizes)
    ]
    told = smoothed([one.log() for one in seen], [step.log() for step in steps])
    mass = [np.zeros(size) for size in sizes]
    for path in itertools.product(*map(range, sizes)):
        weight = math.prod(float(one[at]) for one, at in zip(seen, path, strict=True))
        for step, (before, after) in zip(steps, itertools.pairwise(path), strict=True):
            weight *= float(step[before, after])
        for total, at in zip(mass, path, strict=True):
            total[at] += weight
    for got, total in zip(told, mass, strict=True):
        assert got.tolist() == pytest.approx((total / total.sum()).tolist(), rel=1e-10)


def test_steps_are_probabilities_that_spread_with_time() -> None:
    distance_km = torch.tensor([[0.0, 100.0, 9000.0], [100.0, 0.0, 9000.0]], dtype=torch.float64)
    travel = Travel(local_km=20.0, speed_kmh=50.0, anywhere=0.03)
    for hours in (0.0, 2.0, 1000.0):
        assert travel.step_log(distance_km, hours).exp().sum(dim=1).tolist() == pytest.approx(
            [1.0, 1.0]
        )
    soon, late = (travel.step_log(distance_km, hours).exp() for hours in (0.0, 2.0))
    weight = np.exp(-np.array([0.0, 100.0, 9000.0]) / 120.0)
    expected = 0.97 * weight / weight.sum() + 0.01
    assert late[0].tolist() == pytest.approx(expected.tolist())
    assert soon[0, 1] < late[0, 1]
    # A flight is never ruled out, unless one says so.
    assert soon[0, 2] == pytest.approx(0.01)
    never = Travel(anywhere=0.0).step_log(distance_km, 0.0)
    assert never[0, 2].exp() < 1e-100


def test_an_unsure_image_between_two_sure_ones_goes_where_they_are() -> None:
    sure, torn = [0.98, 0.01, 0.01], [0.30, 0.30, 0.40]
    share = torch.tensor([sure, torn, sure])
    seen = GalleryPosterior(score=share * 2, probability=share)
    told = trip_posterior(seen, TOWNS, [1.0, 1.0], Travel())
    assert told.by_probability(1)[:, 0].tolist() == [0, 0, 0]
    assert told.probability[1, 2] < 0.01
    assert told.probability.sum(dim=1).tolist() == pytest.approx([1.0] * 3)
    assert torch.equal(told.score, seen.score)
    # After a year between photographs the neighbours say nothing.
    later = trip_posterior(seen, TOWNS, [9000.0, 9000.0], Travel(anywhere=0.0))
    assert later.by_probability(1)[1, 0] == 2


def test_places_that_take_no_part_are_no_answers(monkeypatch) -> None:
    monkeypatch.setattr("geoloc.inference.trip.CANDIDATES", 2)
    share = torch.tensor([[0.2, 0.5, 0.3]])
    seen = GalleryPosterior(score=share, probability=share)
    told = trip_posterior(seen, TOWNS, [], Travel())
    assert told.by_probability(3).tolist() == [[1, 2, -1]]
    assert told.probability.sum() == pytest.approx(1.0)


def test_one_image_is_a_trip_that_changes_nothing() -> None:
    share = torch.tensor([[0.2, 0.5, 0.3]])
    told = trip_posterior(GalleryPosterior(score=share, probability=share), TOWNS, [], Travel())
    assert told.probability[0].tolist() == pytest.approx([0.2, 0.5, 0.3])


@pytest.mark.parametrize(
    ("times", "images", "match"),
    [
        ([0.0, 2.0, 1.0], 3, "order of time"),
        ([0.0, 1.0], 3, "one time in hours for each of its 3"),
        ([0.0, math.nan], 2, "one time"),
    ],
)
def test_times_must_be_one_an_image_and_in_order(times, images, match) -> None:
    with pytest.raises(ConfigError, match=match):
        check_times(times, images)
    assert check_times([0.0, 0.5, 2.0], 3) == [0.5, 1.5]


@pytest.mark.parametrize("wrong", [{"local_km": 0.0}, {"speed_kmh": -1.0}, {"anywhere": 1.1}])
def test_travel_that_cannot_be_is_refused(wrong) -> None:
    with pytest.raises(ConfigError, match="travel"):
        Travel(**wrong)
