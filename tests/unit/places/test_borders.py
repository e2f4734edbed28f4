import numpy as np
import pytest
import shapely

from geoloc.places.borders import draw_lines, find_edges


def two_squares_and_an_island():
    """West (area 0) and east (area 1) share the edge at longitude 1; area 1 owns an island."""
    west = shapely.Polygon([(0, 0), (1, 0), (1, 1), (0, 1)])
    east = shapely.Polygon([(1, 0), (2, 0), (2, 1), (1, 1)])
    island = shapely.Polygon([(5, 5), (5.5, 5), (5.5, 5.5)])
    return np.array([west, east, island]), np.array([0, 1, 1])


def test_every_edge_once_with_its_two_sides():
    edges = find_edges(*two_squares_and_an_island())
    assert len(edges.area) == 4 + 4 - 1 + 3
    shared = np.flatnonzero(edges.other_area >= 0)
    assert len(shared) == 1
    assert {int(edges.area[shared[0]]), int(edges.other_area[shared[0]])} == {0, 1}
    assert edges.start[shared[0]][0] == edges.end[shared[0]][0] == 1.0
    at_sea = edges.where(edges.other_area < 0)
    assert np.bincount(at_sea.area).tolist() == [3, 6]


def test_holes_have_edges_too():
    ring = shapely.Polygon([(0, 0), (9, 0), (9, 9), (0, 9)], [[(3, 3), (6, 3), (6, 6), (3, 6)]])
    filling = shapely.Polygon([(3, 3), (6, 3), (6, 6), (3, 6)])
    edges = find_edges(np.array([ring, filling]), np.array([7, 8]))
    assert len(edges.area) == 8
    assert (edges.other_area >= 0).sum() == 4


def test_cuts_of_the_flat_map_are_no_coast():
    cap = shapely.Polygon([(-180, -90), (180, -90), (180, -70), (0, -60), (-180, -70)])
    edges = find_edges(np.array([cap]), np.array([0]))
    assert len(edges.area) == 2
    assert np.minimum(edges.start[:, 1], edges.end[:, 1]).min() == -70


def test_lines_are_latlon_and_chained():
    edges = find_edges(*two_squares_and_an_island())
    lines = draw_lines(edges, tolerance_deg=0.01)
    # two sides of the pair, their shared edge, the island
    assert len(lines) == 4
    ends = {tuple(line[end]) for line in lines for end in (0, -1)}
    assert (0.0, 1.0) in ends
    assert (1.0, 1.0) in ends
    assert max(line[:, 1].max() for line in lines) == 5.5
    drawn = sum(np.linalg.norm(np.diff(line, axis=0), axis=1).sum() for line in lines)
    assert drawn == pytest.approx(7 + 1 + np.sqrt(0.5))


def test_thinning_drops_small_islands_and_vertices():
    edges = find_edges(*two_squares_and_an_island())
    assert len(draw_lines(edges, tolerance_deg=0.6)) == 3
    # short as they may be, lines between junctions stay: borders would have gaps without them
    assert len(draw_lines(edges, tolerance_deg=1.5)) == 3
    wiggle = [(x / 10, 0.001 * (x % 2)) for x in range(11)]
    shape = shapely.Polygon([*wiggle, (1, 1), (0, 1)])
    edges = find_edges(np.array([shape]), np.array([0]))
    (line,) = draw_lines(edges, tolerance_deg=0.05)
    assert len(line) < 8
    (exact,) = draw_lines(edges, tolerance_deg=0.0)
    assert len(exact) == 14
