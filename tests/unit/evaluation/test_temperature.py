from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from softmax_worlds import naive_masses, softmax_world

from geoloc.errors import DataError
from geoloc.evaluation.temperature import fit_temperature, log_losses, search_scale
from geoloc.geodesy import sample_sphere

SCALE = 12.0


@pytest.fixture(scope="module")
def world():
    return softmax_world(2000, 300, scale=SCALE)


@pytest.mark.parametrize("objective", ["answer", "nearest"])
@pytest.mark.parametrize("wrong_by", [0.4, 3.0])
def test_the_temperature_of_a_softmax_that_draws_its_own_truth_is_found(world, objective, wrong_by):
    radii = (2500.0, 5000.0)
    fit = fit_temperature(
        world, trained_scale=SCALE * wrong_by, objective=objective, radii_km=radii
    )
    assert fit.temperature == pytest.approx(wrong_by, rel=0.07)
    assert fit.scale == pytest.approx(SCALE, rel=0.07)
    assert not fit.at_bound
    assert fit.loss <= fit.trained_loss


def test_losses_are_those_of_a_naive_loop():
    split = softmax_world(20, 60, scale=SCALE)
    radii = (1000.0, 4000.0)
    naive = naive_masses(split, split.answer_deg, 7.0, radii)
    total = 0.0
    for row in range(len(split)):
        for at, radius in enumerate(radii):
            inside = naive[row, : at + 1].sum()
            right = split.distance_km[row] <= radius
            total -= math.log(inside if right else 1 - inside)
    told = log_losses(split, [7.0], objective="answer", radii_km=radii)
    assert told[0] == pytest.approx(total / (20 * 2), rel=1e-5)

    share = torch.softmax(7.0 * (split.query.double() @ split.place.double().T), dim=1).numpy()
    at = [int(np.flatnonzero((split.gallery_deg == place).all(1))[0]) for place in split.true_deg]
    told = log_losses(split, [7.0], objective="nearest")
    assert told[0] == pytest.approx(-np.log(share[np.arange(20), at]).mean(), rel=1e-5)


def test_mass_around_the_truth_is_no_proper_score(world):
    """Why it is not among the objectives: it prefers a softmax sharper than the true one."""
    scales = SCALE * np.array([1.0, 1.3, 1.6])
    from geoloc.evaluation.mass_profile import ring_masses

    mass = ring_masses(
        world.query,
        world.true_deg,
        world.place,
        world.gallery_deg,
        scales=scales.tolist(),
        edges_km=np.array([2500.0]),
    )[:, :, 0]
    loss = -np.log(mass).mean(axis=1)
    assert loss[1] < loss[0] - 0.005


def test_radii_that_the_gallery_cannot_resolve_take_no_part():
    split = softmax_world(500, 400, scale=SCALE, jitter_deg=3.0)
    fit = fit_temperature(split, trained_scale=SCALE, radii_km=(25.0, 1000.0, 2500.0))
    assert fit.radii_km == (1000.0, 2500.0)
    alone = fit_temperature(split, trained_scale=SCALE, radii_km=(5.0, 25.0))
    assert alone.radii_km == (25.0,)


def test_a_model_that_knows_nothing_runs_into_the_bound(world):
    anywhere = sample_sphere(len(world), generator=np.random.default_rng(5))
    lost = replace(world, true_deg=anywhere, nearest_deg=anywhere)
    fit = fit_temperature(lost, trained_scale=SCALE, radii_km=(2500.0,))
    assert fit.at_bound
    assert fit.temperature == pytest.approx(32.0)


def test_no_images_are_refused(world):
    none = world.rows(np.arange(0))
    with pytest.raises(DataError, match="no images"):
        fit_temperature(none, trained_scale=1.0)


def test_of_a_large_split_some_images_are_drawn():
    split = softmax_world(400, 100, scale=SCALE)
    fit = fit_temperature(split, trained_scale=SCALE, radii_km=(4000.0,), most_queries=150)
    assert fit.queries == 150
    again = fit_temperature(split, trained_scale=SCALE, radii_km=(4000.0,), most_queries=150)
    other = fit_temperature(
        split, trained_scale=SCALE, radii_km=(4000.0,), most_queries=150, seed=1
    )
    assert fit == again != other


@pytest.mark.parametrize("at", [0.3, 7.0, 90.0])
def test_the_search_finds_a_lowest_point(at):
    asked: list[int] = []

    def loss(scales):
        asked.append(len(scales))
        return np.array([math.cosh(math.log(scale / at)) for scale in scales])

    scale, at_bound = search_scale(loss, start=6.0)
    assert scale == pytest.approx(at, rel=2e-3)
    assert not at_bound
    assert len(asked) == 3
