from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoloc.geodesy import great_circle_km
from geoloc.viz.tracks import cut_at_antimeridian, great_circle_track

latitude, longitude = st.floats(-90, 90), st.floats(-180, 180)
place = st.tuples(latitude, longitude).map(np.array)


@given(start=place, end=place)
def test_track_is_the_shortest_way_in_short_steps(start: np.ndarray, end: np.ndarray) -> None:
    track = great_circle_track(start, end, step_deg=2.0)
    steps = great_circle_km(track[:-1], track[1:])
    whole = great_circle_km(start[None], end[None])[0]
    # Near antipodes a rounding of the ends moves the way by much but its length by little.
    assert steps.sum() == pytest.approx(whole, rel=1e-4, abs=1.0)
    assert steps.max() <= 2.0 * 111.2 + 1.0
    assert great_circle_km(track[:1], start[None])[0] < 1e-3
    assert great_circle_km(track[-1:], end[None])[0] < 1e-3
    assert np.isfinite(track).all()


def test_track_between_antipodes_and_to_itself() -> None:
    track = great_circle_track(np.array([10.0, 20.0]), np.array([-10.0, -160.0]))
    steps = great_circle_km(track[:-1], track[1:])
    assert steps.sum() == pytest.approx(np.pi * 6371.0, rel=1e-6)
    poles = great_circle_track(np.array([90.0, 0.0]), np.array([-90.0, 30.0]))
    assert np.abs(np.diff(poles[:, 0])).max() <= 2.0 + 1e-9
    assert set(np.round(poles[:, 1], 6)) == {30.0}
    here = great_circle_track(np.array([10.0, 20.0]), np.array([10.0, 20.0]))
    assert here.tolist() == [[10.0, 20.0], [10.0, 20.0]]


@given(start=place, end=place)
def test_no_piece_jumps_across_the_map(start: np.ndarray, end: np.ndarray) -> None:
    pieces = cut_at_antimeridian(great_circle_track(start, end))
    for piece in pieces:
        assert np.abs(np.diff(piece[:, 1])).max() <= 180.0
        assert np.abs(piece[:, 1]).max() <= 180.0
    for before, after in pairwise(pieces):
        # The way leaves on one edge and comes back on the other at the same latitude.
        assert abs(before[-1, 1]) == 180.0
        assert after[0, 1] == -before[-1, 1]
        assert after[0, 0] == before[-1, 0]


def test_a_known_crossing() -> None:
    track = np.array([[0.0, 170.0], [10.0, -170.0], [10.0, -160.0]])
    east, west = cut_at_antimeridian(track)
    assert east.tolist() == [[0.0, 170.0], [5.0, 180.0]]
    assert west.tolist() == [[5.0, -180.0], [10.0, -170.0], [10.0, -160.0]]
    back, forth = cut_at_antimeridian(track[::-1])
    assert back[-1].tolist() == [5.0, -180.0]
    assert forth[0].tolist() == [5.0, 180.0]
