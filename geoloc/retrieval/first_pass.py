"""The cheap product that tells which candidates can be best, and how far it may be off."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import torch
from jaxtyping import Float32, Shaped
from torch import Tensor

from geoloc.errors import ConfigError
from geoloc.retrieval.vector_rows import VectorRows

Precision: TypeAlias = Literal["float32", "float16", "int8"]

# Scores within one unit in the last place of float32, all below 2, round to equal ones.
EQUAL_AFTER_ROUNDING = 2.0**-22
# For the float32 sums in which the bounds themselves are computed.
_SLACK = 1.001
_ROWS_AT_A_TIME = 16_384
# int8 times int8 with int32 sums; torch has no public name for it.
_INTEGER_PRODUCT: Any = getattr(torch, "_int_mm", None)
_CODES = {"float16": torch.float16, "int8": torch.int8}


def fastest_precision(device: torch.device) -> Precision:
    """What a device multiplies fastest: int8 on a CPU with VNNI or AMX, float16 on CUDA."""
    if device.type == "cuda":
        return "float16"
    if device.type == "cpu" and _multiplies_int8():
        return "int8"
    return "float32"


def _multiplies_int8() -> bool:
    known = getattr(torch.cpu, "get_capabilities", dict)()
    return _INTEGER_PRODUCT is not None and any(
        known.get(name, False) for name in ("avx512_vnni", "avx_vnni", "amx_int8")
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CodedQueries:
    """Queries as a pass multiplies them.

    Attributes:
        code: what is multiplied.
        window: in the product's own unit, how far below the k-th best product a candidate may lie
            that is among the k best: twice the error bound.
    """

    code: Shaped[Tensor, "query embedding"]
    window: Shaped[Tensor, "query 1"]


@runtime_checkable
class FirstPass(Protocol):
    """Products that rank candidates up to a known error."""

    def prepare(self, query: Float32[Tensor, "query embedding"]) -> CodedQueries:
        """Queries coded for the product, with their windows."""
        ...

    def product(self, code: Tensor, start: int, stop: int) -> Tensor:
        """Products with candidates start to stop, one row a query."""
        ...


def rounding_error(embedding_dim: int, device: torch.device) -> float:
    """A bound on the error of a float32 inner product of unit vectors, in any order of summation.

    n·u (Higham 2002, "Accuracy and stability of numerical algorithms", eq. 3.5), and on CUDA,
    where inputs may be rounded before they are multiplied, what that adds.
    """
    lowered = {"highest": 0.0, "high": 2.0**-10, "medium": 2.0**-7}
    mode = torch.get_float32_matmul_precision() if device.type != "cpu" else "highest"
    return _SLACK**4 * (embedding_dim * 2.0**-24 + lowered.get(mode, 2.0**-7))


class FloatPass:
    """float32 products: no preparation, and an error near that of the answer.

    Args:
        candidate: unit vectors, on the device that multiplies.
    """

    def __init__(self, candidate: VectorRows) -> None:
        self._candidate = candidate

    def prepare(self, query: Float32[Tensor, "query embedding"]) -> CodedQueries:
        """The queries as they are."""
        error = rounding_error(query.shape[1], query.device)
        window = query.new_full((len(query), 1), 2.0 * error + EQUAL_AFTER_ROUNDING)
        return CodedQueries(code=query, window=window)

    def product(self, code: Tensor, start: int, stop: int) -> Tensor:
        """Cosines with candidates start to stop."""
        return code @ self._candidate.rows(start, stop).T


class CodedPass:
    """Products of candidates kept in int8 or float16, at a measured distance from the truth.

    With q' and c' what codes stand for, |q·c - q'·c'| <= |q - q'|·|c'| + |q|·|c - c'| (Cauchy and
    Schwarz), each factor measured: no assumption about rounding is made. Products of int8 are exact
    integers; those of float16 are summed in float32 and rounded once.

    Args:
        candidate: unit vectors.
        precision: ``int8``, one step for all candidates and one for each query, on a CPU; or
            ``float16``. Without VNNI or AMX, sums of int8 products can saturate: not there.

    Raises:
        ConfigError: int8 is asked for on another device than a CPU.
    """

    def __init__(self, candidate: VectorRows, precision: Literal["float16", "int8"]) -> None:
        if precision == "int8" and candidate.device.type != "cpu":
            raise ConfigError("a first pass in int8 is for CPUs: on this device take float16")
        self._precision: Literal["float16", "int8"] = precision
        blocks = [
            (start, min(start + _ROWS_AT_A_TIME, len(candidate)))
            for start in range(0, len(candidate), _ROWS_AT_A_TIME)
        ]
        self._step = 1.0
        if precision == "int8":
            self._step = max(float(candidate.rows(*block).abs().amax()) for block in blocks) / 127
        self._code = torch.empty(
            (len(candidate), candidate.embedding_dim),
            dtype=_CODES[precision],
            device=candidate.device,
        )
        self._length, self._residual = 0.0, 0.0
        for start, stop in blocks:
            rows = candidate.rows(start, stop)
            self._code[start:stop] = self._coded(rows, self._step)
            meant = self._code[start:stop].float() * self._step
            self._length = max(self._length, float(_lengths(meant).amax()))
            self._residual = max(self._residual, float(_lengths(rows - meant).amax()))

    def prepare(self, query: Float32[Tensor, "query embedding"]) -> CodedQueries:
        """Queries coded likewise, each with a step of its own."""
        step = torch.ones_like(query[:, :1])
        if self._precision == "int8":
            step = query.abs().amax(dim=1, keepdim=True).clamp_min(1e-30) / 127
        code = self._coded(query, step)
        off = _lengths(query - code.float() * step)
        error = _SLACK * (off * self._length + _lengths(query) * self._residual)
        if self._precision == "float16":
            error += _SLACK * (2.0**-11 * self._length + query.shape[1] * 2.0**-24)
        window = (2.0 * error + EQUAL_AFTER_ROUNDING).unsqueeze(1)
        if self._precision == "int8":
            return CodedQueries(code=code, window=(window / (step * self._step)).ceil().int() + 1)
        return CodedQueries(code=code, window=window)

    def product(self, code: Tensor, start: int, stop: int) -> Tensor:
        """Integers for int8, in units of both steps; cosines as float32 for float16."""
        if self._precision == "int8":
            return _INTEGER_PRODUCT(code, self._code[start:stop].T)
        with _sums_in_float32():
            return (code @ self._code[start:stop].T).float()

    def _coded(self, vectors: Tensor, step: Tensor | float) -> Tensor:
        if self._precision == "float16":
            return vectors.half()
        return (vectors / step).round_().clamp_(-127, 127).to(torch.int8)


def _lengths(vectors: Tensor) -> Tensor:
    return torch.linalg.vector_norm(vectors, dim=1)


@contextmanager
def _sums_in_float32() -> Generator[None]:
    """Keep CUDA from adding up parts of a float16 product in float16; its mode is put back."""
    mode = torch.backends.cuda.matmul
    before = mode.allow_fp16_reduced_precision_reduction
    mode.allow_fp16_reduced_precision_reduction = False
    try:
        yield
    finally:
        mode.allow_fp16_reduced_precision_reduction = before
