from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from geoloc.downscaling import Yardstick, judge, structure_of
from geoloc.errors import DataError
from geoloc.viz.downscaling_figure import Panel, draw_downscaling


def panel(methods: int) -> Panel:
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn((1, 6, 8, 8), generator=generator)
    yardstick = Yardstick.of_pixels(8, 8, bins=3)
    judgements = {
        f"method {number}": judge(truth + 0.1 * number, truth, yardstick)
        for number in range(methods)
    }
    fields = {"coarse": np.zeros((2, 2)), "truth": truth[0, -1].numpy()}
    return Panel(
        title="x $ y",
        unit="K",
        fields=fields,
        truth=structure_of(truth, yardstick),
        methods=judgements,
    )


def test_fields_and_curves_are_drawn(tmp_path: Path, read_png) -> None:
    pixels = read_png(draw_downscaling(panel(2), tmp_path / "new" / "d.png"))
    assert pixels.shape[:2] == (720, 1500)
    # the field of zeros has one tone, the noise many
    coarse, truth = pixels[150:250, 300:400], pixels[150:250, 1080:1180]
    assert len(np.unique(coarse.reshape(-1, 3), axis=0)) < 5
    assert len(np.unique(truth.reshape(-1, 3), axis=0)) > 5
    more = read_png(draw_downscaling(panel(4), tmp_path / "e.png"))
    assert (more != pixels).any()


@pytest.mark.parametrize("methods", [0, 6])
def test_what_one_picture_cannot_hold_is_refused(tmp_path: Path, methods: int) -> None:
    with pytest.raises(DataError, match="one to 5 methods"):
        draw_downscaling(panel(methods), tmp_path / "d.png")
