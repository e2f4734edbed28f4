from __future__ import annotations

import pytest
import torch

from geoloc.errors import ConfigError
from geoloc.inference.devices import usable_device


def test_auto_is_the_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert usable_device() == torch.device("cuda")
    assert usable_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert usable_device("auto") == torch.device("cpu")


@pytest.mark.parametrize("asked", ["cuda", "cuda:1", torch.device("cuda")])
def test_a_gpu_that_is_not_there_is_one_clear_error(
    monkeypatch: pytest.MonkeyPatch, asked: torch.device | str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="no GPU here") as caught:
        usable_device(asked)
    assert "\n" not in str(caught.value)


def test_a_gpu_beyond_the_last_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert usable_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(ConfigError, match="2 GPUs only"):
        usable_device("cuda:2")


def test_a_device_that_torch_does_not_know_is_refused() -> None:
    with pytest.raises(ConfigError, match="write auto, cpu or cuda"):
        usable_device("gpu")
