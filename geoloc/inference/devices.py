"""Where to compute: a device by name, refused in one line where the machine lacks it."""

from __future__ import annotations

import torch

from geoloc.errors import ConfigError


def usable_device(asked: torch.device | str = "auto") -> torch.device:
    """The device asked for.

    Args:
        asked: ``auto`` for the GPU where torch sees one, else the CPU; or a device of torch's,
            such as ``cpu``, ``cuda`` or ``cuda:1``.

    Raises:
        ConfigError: torch knows no such device, or this machine has none.
    """
    if asked == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(asked)
    except RuntimeError:
        raise ConfigError(f"device {asked}: no such device; write auto, cpu or cuda") from None
    if device.type != "cuda":
        return device
    if not torch.cuda.is_available():
        raise ConfigError(f"device {asked}: torch sees no GPU here; use cpu or auto")
    if (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"device {asked}: torch sees {torch.cuda.device_count()} GPUs only")
    return device
