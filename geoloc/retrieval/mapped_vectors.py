"""Unit vectors that stay in their file: galleries larger than memory."""

from __future__ import annotations

import json
import mmap
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from geoloc.errors import DataError
from geoloc.retrieval.vectors import check_unit

_ROWS_AT_A_TIME = 65_536
_PICKED_AT_A_TIME = 4096
_SAFETENSORS_TYPES = {"F32": "<f4", "F16": "<f2"}


class MappedVectors:
    """Vectors of a file, float32 or float16, read when they are needed and then let go.

    What is resident is a block of rows, whatever the size of the file; the operating system keeps
    as much of the file in its cache as it has room for.

    Args:
        path: a ``.npy`` array of rows, or a ``.safetensors`` file.
        tensor: the name of the tensor in a safetensors file; galleries call it ``embedding``.

    Raises:
        DataError: the file is missing or no such array, or a vector is not of length one: all are
            read once to see that.
    """

    def __init__(self, path: Path | str, *, tensor: str = "embedding") -> None:
        path = Path(path)
        if not path.is_file():
            raise DataError(f"there is no file of vectors at {path}")
        try:
            read = _npy_layout if path.suffix == ".npy" else _safetensors_layout
            self._type, shape, self._offset = read(path, tensor)
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path} holds no rows of float32 or float16 ({error})") from None
        if len(shape) != 2 or 0 in shape:
            raise DataError(f"{path} holds an array of shape {shape}, not rows of vectors")
        self._count, self._dim = shape
        with path.open("rb") as stream:
            self._map = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        size = self._count * self._dim * self._type.itemsize
        if self._offset + size > len(self._map):
            raise DataError(f"{path} is torn: it ends before its last row")
        flat = np.frombuffer(self._map, self._type, self._count * self._dim, self._offset)
        self._array = flat.reshape(shape)
        self._picked = 0
        for start in range(0, self._count, _ROWS_AT_A_TIME):
            block = self.rows(start, min(start + _ROWS_AT_A_TIME, self._count))
            check_unit(block, what=f"{path.name}, from row {start}: candidate")

    @property
    def embedding_dim(self) -> int:
        """Width of a vector."""
        return self._dim

    @property
    def device(self) -> torch.device:
        """The CPU."""
        return torch.device("cpu")

    def __len__(self) -> int:
        return self._count

    def rows(self, start: int, stop: int) -> Float32[Tensor, "row embedding"]:
        """A copy of rows start to stop."""
        block = torch.from_numpy(self._array[start:stop].astype(np.float32))
        self._let_go(start, stop)
        return block

    def pick(self, index: Int64[Tensor, " row"]) -> Float32[Tensor, "row embedding"]:
        """A copy of these rows."""
        picked = torch.empty(len(index), self._dim)
        for start in range(0, len(index), _PICKED_AT_A_TIME):
            some = index[start : start + _PICKED_AT_A_TIME]
            picked[start : start + len(some)] = torch.from_numpy(self._array[some.numpy()])
            # Each row drags the pages around it in.
            self._picked += len(some)
            if self._picked >= _PICKED_AT_A_TIME:
                self._let_go(0, self._count)
                self._picked = 0
        return picked

    def _let_go(self, start: int, stop: int) -> None:
        """Pages of these rows are no longer ours; a page shared with others is read again."""
        if not hasattr(mmap, "MADV_DONTNEED"):
            return
        width = self._dim * self._type.itemsize
        first = (self._offset + start * width) // mmap.PAGESIZE * mmap.PAGESIZE
        self._map.madvise(mmap.MADV_DONTNEED, first, self._offset + stop * width - first)


Layout = tuple["np.dtype[Any]", tuple[int, ...], int]


def _npy_layout(path: Path, _: str) -> Layout:
    array: Any = np.load(path, mmap_mode="r", allow_pickle=False)
    if array.dtype not in (np.float32, np.float16) or not array.flags.c_contiguous:
        raise ValueError(f"it is {array.dtype}, strides {array.strides}")
    kind: Any = array.dtype
    return kind, array.shape, int(array.offset)


def _safetensors_layout(path: Path, tensor: str) -> Layout:
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if length > path.stat().st_size:
            raise ValueError("no safetensors header")
        header = json.loads(stream.read(length))[tensor]
    kind = np.dtype(_SAFETENSORS_TYPES[header["dtype"]])
    return kind, tuple(header["shape"]), 8 + length + int(header["data_offsets"][0])
