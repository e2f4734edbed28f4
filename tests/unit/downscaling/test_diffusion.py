from __future__ import annotations

import math
import sys

import pytest
import torch

from geoloc.downscaling import diffusion
from geoloc.downscaling.diffusion import FieldNetwork, noised, sampled
from geoloc.errors import ConfigError


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def kept(level: torch.Tensor) -> torch.Tensor:
    """Share of a field that is left at a level of noise: Nichol and Dhariwal's cosine, eq. 17."""

    def f(t: torch.Tensor) -> torch.Tensor:
        return torch.cos((t / 1000 + 0.008) / 1.008 * math.pi / 2).square()

    return (f(level + 1.0) / f(torch.zeros(1))).sqrt()


def test_noise_is_added_by_the_cosine() -> None:
    field = torch.full((4000, 1, 2, 2), 5.0)
    noisy, level = noised(field, generator=chance())
    assert int(level.min()) < 5
    assert int(level.max()) > 994
    share = kept(level)[:, None, None, None]
    left = (noisy - share * field) / (1 - share.square()).sqrt()
    usual = level < 990
    assert float(left[usual].mean()) == pytest.approx(0.0, abs=0.03)
    assert float(left[usual].std()) == pytest.approx(1.0, abs=0.03)


def test_sampling_draws_from_a_gaussian_whose_best_prediction_is_known() -> None:
    # of fields N(3, 0.5^2) the mean given a noisy one is known in closed form
    def predict(noisy: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        a = kept(level)[:, None, None, None].clamp_min(1e-6)
        gain = a * 0.25 / (a.square() * 0.25 + 1 - a.square())
        return 3.0 + gain * (noisy - a * 3.0)

    drawn = sampled(
        predict, (500, 1, 4, 4), steps=50, generator=chance(), device=torch.device("cpu")
    )
    assert float(drawn.mean()) == pytest.approx(3.0, abs=0.03)
    assert float(drawn.std()) == pytest.approx(0.5, abs=0.03)


def test_the_last_step_is_the_prediction_itself() -> None:
    clean = torch.randn(2, 1, 4, 4)
    drawn = sampled(
        lambda noisy, level: clean,
        (2, 1, 4, 4),
        steps=3,
        generator=chance(),
        device=torch.device("cpu"),
    )
    assert torch.allclose(drawn, clean, atol=1e-2)


def test_a_network_sees_its_level_of_noise() -> None:
    network = FieldNetwork(inputs=3, widths=(8, 16)).eval()
    seen = torch.randn(2, 3, 8, 8)
    low, high = (network(seen, torch.full((2,), level)) for level in (0, 900))
    assert low.shape == (2, 1, 8, 8)
    assert not torch.allclose(low, high)


@pytest.mark.parametrize("widths", [(), (12,), (8, 4)])
def test_impossible_widths_are_refused(widths: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="multiples of 8"):
        FieldNetwork(inputs=1, widths=widths)


@pytest.mark.parametrize("steps", [0, 1001])
def test_impossible_numbers_of_steps_are_refused(steps: int) -> None:
    with pytest.raises(ConfigError, match="1 to 1000 steps"):
        sampled(
            lambda noisy, level: noisy,
            (1, 1, 4, 4),
            steps=steps,
            generator=chance(),
            device=torch.device("cpu"),
        )


def test_what_to_install_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    diffusion._diffusers.cache_clear()
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ConfigError, match=r"pip install 'geoloc\[systems\]'"):
        FieldNetwork(inputs=1, widths=(8,))
    monkeypatch.undo()
    diffusion._diffusers.cache_clear()
