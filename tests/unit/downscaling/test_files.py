from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from geoloc.downscaling import (
    DiffusionDownscaler,
    DownscalingSettings,
    RegressionDownscaler,
    Scales,
    coarsen,
    fit_diffusion,
    fit_encoder,
    fit_regression,
    load_downscaler,
    save_downscaler,
)
from geoloc.errors import DataError

Both = tuple[DiffusionDownscaler, RegressionDownscaler]


@pytest.fixture(scope="module")
def learnt(settings: DownscalingSettings, fine: torch.Tensor) -> Both:
    settings = replace(settings, steps=3, encoder_steps=3)
    scales, chance = Scales.of(fine, settings.factor), torch.Generator().manual_seed(0)
    encoder = fit_encoder(coarsen(fine, 2), settings, scales, generator=chance)
    diffusion = fit_diffusion(fine, encoder, settings, scales, generator=chance)
    return diffusion, fit_regression(fine, settings, scales, generator=chance)


def drawn(diffusion: DiffusionDownscaler, coarse: torch.Tensor) -> torch.Tensor:
    return diffusion.estimate(coarse, generator=torch.Generator().manual_seed(4), members=2)


def test_downscalers_read_back_give_the_same_fields_to_the_bit(
    tmp_path: Path, learnt: Both, fine: torch.Tensor
) -> None:
    # other fields than those they learnt from, of another size
    coarse = 0.7 * coarsen(fine, 2)[:1, :4, :7, :5]
    diffusion, regression = learnt
    before = torch.get_rng_state()
    again = load_downscaler(save_downscaler(diffusion, tmp_path / "diffusion"))
    assert isinstance(again, DiffusionDownscaler)
    assert torch.equal(drawn(again, coarse), drawn(diffusion, coarse))
    assert (again.settings, again.scales) == (diffusion.settings, diffusion.scales)
    plain = load_downscaler(save_downscaler(regression, tmp_path / "regression"))
    assert isinstance(plain, RegressionDownscaler)
    assert torch.equal(plain.estimate(coarse), regression.estimate(coarse))
    assert not any(each.requires_grad for each in plain.network.parameters())
    assert torch.equal(torch.get_rng_state(), before)


def test_another_downscaler_takes_the_place_of_the_first(tmp_path: Path, learnt: Both) -> None:
    for each in learnt:
        save_downscaler(each, tmp_path)
    assert isinstance(load_downscaler(tmp_path), RegressionDownscaler)


def test_damage_is_told_in_one_line(tmp_path: Path, learnt: Both) -> None:
    whole = save_downscaler(learnt[0], tmp_path / "whole")
    content = json.loads((whole / "downscaler.json").read_text())

    def broken(name: str, data: bytes | None) -> str:
        folder = tmp_path / "broken"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(whole, folder)
        (folder / name).unlink() if data is None else (folder / name).write_bytes(data)
        with pytest.raises(DataError) as told:
            load_downscaler(folder)
        assert "\n" not in str(told.value)
        return str(told.value)

    def changed(**keys: Any) -> bytes:
        return json.dumps(content | keys).encode()

    assert "there is no downscaler" in broken("downscaler.json", None)
    assert "torn" in broken("tensors.safetensors", None)
    assert "damaged" in broken("tensors.safetensors", b"x")
    assert "version 1" in broken("downscaler.json", changed(schema_version=9))
    assert "version 1" in broken("downscaler.json", changed(kind="Other"))
    assert "damaged" in broken("downscaler.json", changed(scales={}))
    assert "do not fit" in broken(
        "downscaler.json", changed(settings={**content["settings"], "widths": [8, 24]})
    )
