from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoloc.viz.canvas import bare_axes, new_figure
from geoloc.viz.marks import (
    LARGEST_PX,
    SMALLEST_PX,
    draw_places,
    free_box,
    merge_near,
    radius_px,
    ranks_text,
)


@pytest.mark.parametrize(
    ("ranks", "text"),
    [
        ([1], "1"),
        ([1, 2], "1\N{EN DASH}2"),
        ([1, 2, 3, 5], "1\N{EN DASH}3, 5"),
        ([2, 4, 6], "2, 4, 6"),
        ([], ""),
    ],
)
def test_ranks_text(ranks: list[int], text: str) -> None:
    assert ranks_text(ranks) == text


def test_circles_grow_with_probability() -> None:
    radius = radius_px(np.array([0.4, 0.1, 0.0]))
    assert radius.tolist() == [LARGEST_PX, (LARGEST_PX + SMALLEST_PX) / 2, SMALLEST_PX]
    assert np.isfinite(radius_px(np.zeros(3))).all()


@given(
    points=st.lists(st.tuples(st.floats(0, 300), st.floats(0, 300)), min_size=1, max_size=12),
    reach=st.floats(1, 80),
)
def test_groups_are_the_connected_components(
    points: list[tuple[float, float]], reach: float
) -> None:
    xy = np.array(points)
    group = merge_near(xy, reach)
    near = np.linalg.norm(xy[:, None] - xy[None], axis=-1) <= reach
    reached = np.linalg.matrix_power(near.astype(float), len(xy)) > 0
    np.testing.assert_array_equal(group[:, None] == group[None], reached)


def test_labels_do_not_overlap_and_stay_on_the_map() -> None:
    bounds = np.array([0.0, 0.0, 400.0, 300.0])
    taken: list[tuple[float, float, float, float]] = []
    for centre in ((200.0, 150.0), (210.0, 150.0), (395.0, 295.0), (390.0, 290.0), (2.0, 2.0)):
        box = free_box(np.array(centre), (50.0, 20.0), taken, bounds)
        assert 0 <= box[0] < box[2] <= 400
        assert 0 <= box[1] < box[3] <= 300
        for other in taken:
            beside = box[2] <= other[0] or other[2] <= box[0]
            assert beside or box[3] <= other[1] or other[3] <= box[1]
        taken.append(box)


def test_places_apart_are_numbered_and_places_together_share_a_label() -> None:
    figure = new_figure(400, 400)
    axes = bare_axes(figure, (0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(0, 400)
    axes.set_ylim(0, 400)
    xy = np.array([[100.0, 100.0], [300.0, 300.0], [105.0, 100.0], [50.0, 350.0]])
    draw_places(axes, xy, np.array([0.4, 0.3, 0.2, 0.1]))
    assert sorted(text.get_text() for text in axes.texts) == ["1, 3", "2", "4"]


def test_hidden_places_keep_the_ranks_of_the_others() -> None:
    axes = bare_axes(new_figure(400, 400), (0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(0, 400)
    axes.set_ylim(0, 400)
    xy = np.array([[100.0, 100.0], [300.0, 300.0], [900.0, 900.0], [200.0, 50.0]])
    shown = np.array([False, True, False, True])
    draw_places(axes, xy, np.full(4, 0.1), shown=shown)
    assert sorted(text.get_text() for text in axes.texts) == ["2", "4"]
    draw_places(axes, xy, np.full(4, 0.1), shown=np.zeros(4, dtype=bool))
    assert len(axes.texts) == 2
