from __future__ import annotations

import numpy as np
from PIL import Image

from geoloc.viz.gallery_map import draw_gallery_map


def drawn(path, gallery, far, against, gap):
    file = draw_gallery_map(
        path,
        gallery_deg=np.array(gallery),
        far_at_sea=np.array(far),
        against_deg=np.array(against),
        gap_km=np.array(gap),
        title="g",
        against="a",
    )
    return np.asarray(Image.open(file).convert("RGB")).astype(int)


def count_of(picture, colour):
    wanted = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return int((np.abs(picture - wanted).max(axis=2) < 12).sum())


def test_points_at_sea_and_gaps_have_their_colours(tmp_path):
    land, sea = [[48.0, 2.0], [10.0, 20.0]], [0.0, -30.0]
    plain = drawn(tmp_path / "a.png", land, [False, False], land, [3.0, 3.0])
    more = drawn(tmp_path / "b.png", [*land, sea], [False, False, True], land, [3.0, 900.0])
    assert plain.shape == (1580, 1400, 3)
    upper, lower = plain[:800], plain[800:]
    assert count_of(more[:800], "#d55e00") > count_of(upper, "#d55e00")
    assert count_of(more[800:], "#e8704f") > count_of(lower, "#e8704f")
    assert count_of(upper, "#0072b2") > 0
