from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from softmax_worlds import naive_masses, softmax_world, unit_rows

from geoloc.evaluation import mass_profile
from geoloc.evaluation.mass_profile import HALF_TURN_KM, MassProfile, ring_masses
from geoloc.geodesy import unit_vectors

EDGES_KM = np.array([25.0, 1500.0, 6000.0])


@pytest.fixture(scope="module")
def split():
    return softmax_world(30, 70, scale=8.0)


def _masses(split, centre_deg, scales, edges_km=EDGES_KM):
    return ring_masses(
        split.query, centre_deg, split.place, split.gallery_deg, scales=scales, edges_km=edges_km
    )


@pytest.mark.parametrize("blocks", [(256, 16_384), (7, 13)])
def test_masses_are_those_of_a_naive_loop_whatever_the_blocks(split, blocks, monkeypatch):
    monkeypatch.setattr(mass_profile, "_QUERIES_AT_A_TIME", blocks[0])
    monkeypatch.setattr(mass_profile, "_PLACES_AT_A_TIME", blocks[1])
    for centre_deg in (split.answer_deg, split.true_deg):
        told = _masses(split, centre_deg, [3.0, 40.0])
        for at, scale in enumerate((3.0, 40.0)):
            naive = naive_masses(split, centre_deg, scale, EDGES_KM)
            np.testing.assert_allclose(told[at], naive, atol=2e-6)


def test_an_edge_holds_the_place_on_it_and_half_a_turn_holds_the_antipode():
    gallery_deg = np.array([[0.0, 0.0], [0.0, 90.0], [0.0, 180.0]])
    rows = unit_rows(3, 4, seed=1)
    edges_km = np.array([1e-2, HALF_TURN_KM / 2 * (1 + 1e-12), HALF_TURN_KM])
    masses = ring_masses(
        rows, gallery_deg[[0, 0, 0]], rows, gallery_deg, scales=[0.0], edges_km=edges_km
    )
    np.testing.assert_allclose(masses[0], [[1 / 3, 1 / 3, 1 / 3, 0.0]] * 3)


def test_a_sharp_softmax_neither_overflows_nor_vanishes(split):
    masses = _masses(split, split.answer_deg, [1e5])
    np.testing.assert_allclose(masses[0, :, 0], 1.0)


@settings(max_examples=50, deadline=None)
@given(mass=st.floats(0.0, 0.999), scale=st.sampled_from([0.0, 5.0, 50.0, 1e5]))
def test_the_radius_that_holds_a_mass_holds_that_mass(mass, scale):
    split = softmax_world(6, 70, scale=8.0)
    profile = MassProfile.around(
        split.query, split.answer_deg, split.place, split.gallery_deg, scale=scale
    )
    radius_km = profile.radius_holding(mass)
    assert ((radius_km >= 0) & (radius_km <= HALF_TURN_KM)).all()
    np.testing.assert_allclose(profile.mass_within(radius_km), mass, atol=1e-9)


def test_profiles_rise_from_nothing_to_all(split):
    profile = MassProfile.around(
        split.query, split.answer_deg, split.place, split.gallery_deg, scale=1e5
    )
    assert (np.diff(profile.within, axis=1) > 0).all()
    np.testing.assert_allclose(profile.within[:, 0], 0.0)
    np.testing.assert_allclose(profile.within[:, -1], 1.0)
    assert (profile.radius_holding(1.0) == HALF_TURN_KM).all()


def test_mean_distance_is_the_mean_over_the_places(split):
    from geoloc.geodesy import pairwise_great_circle_km

    profile = MassProfile.around(
        split.query, split.answer_deg, split.place, split.gallery_deg, scale=0.0
    )
    naive = pairwise_great_circle_km(split.answer_deg, split.gallery_deg).mean(axis=1)
    np.testing.assert_allclose(profile.mean_km(), naive, rtol=0.02)


@pytest.mark.parametrize("scale", [3.0, 40.0])
def test_known_probabilities_give_the_profile_of_their_scores(split, scale):
    streamed = MassProfile.around(
        split.query, split.answer_deg, split.place, split.gallery_deg, scale=scale
    )
    probability = torch.softmax(scale * (split.query @ split.place.T), dim=1)
    known = MassProfile.of_probabilities(
        probability, split.answer_deg, unit_vectors(split.gallery_deg)
    )
    np.testing.assert_allclose(known.within, streamed.within, atol=2e-6)
    assert known.radius_holding(1.0).tolist() == [HALF_TURN_KM] * len(known)


def test_the_antipode_lies_within_half_a_turn():
    gallery_deg = np.array([[12.0, 34.0], [-12.0, -146.0]])
    profile = MassProfile.of_probabilities(
        torch.tensor([[0.25, 0.75]]), gallery_deg[:1], unit_vectors(gallery_deg)
    )
    assert profile.within[0, -1] == pytest.approx(1.0)
    assert profile.within[0, 1] == pytest.approx(0.25, abs=1e-3)
