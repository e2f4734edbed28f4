"""Workspace: memory that is used again for every image, since fresh memory costs page faults."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

_KEPT_BYTES = 2**26


class Workspace(threading.local):
    """Arrays by name, one set a thread. What stands in one lasts until its name is asked again.

    Those of more than 64 MiB are made anew each time, so that one huge image is not paid for ever.
    """

    def __init__(self) -> None:
        self._arrays: dict[str, NDArray[np.uint8]] = {}

    def array(self, name: str, shape: tuple[int, ...], dtype: Any = np.uint8) -> NDArray[Any]:
        """An array of this shape whose content is arbitrary."""
        wanted = math.prod(shape) * np.dtype(dtype).itemsize
        held = self._arrays.get(name)
        if held is None or held.size < wanted:
            held = np.empty(wanted, dtype=np.uint8)
            if wanted <= _KEPT_BYTES:
                self._arrays[name] = held
        return held[:wanted].view(dtype).reshape(shape)
