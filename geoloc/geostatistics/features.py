"""Features: rows of values, made ready block by block, so that no second copy of all is held."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from geoloc.errors import ConfigError, DataError
from geoloc.geostatistics.dissimilarity import Dissimilarity, check_dissimilarity

Precision: TypeAlias = Literal["auto", "float64", "float32", "bfloat16"]
Values: TypeAlias = "np.ndarray | Tensor"
_DTYPES = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16}
_SURVEYED = 1 << 16
_COMPARED = 1 << 12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """Samples made ready for comparison.

    Attributes:
        position: see `Separation.positions`.
        value: features; of length one for cosine, else measured from the centre of all.
        half: half the squared length of each row of `value` as it stands, after rounding.
        group: spatial group of each sample.
    """

    position: Float64[Tensor, "n 3"]
    value: Float[Tensor, "n feature"]
    half: Float[Tensor, " n"]
    group: Int64[Tensor, " n"]

    def __len__(self) -> int:
        return self.value.shape[0]

    def part(self, rows: slice) -> Block:
        """These rows alone, without a copy."""
        return Block(
            position=self.position[rows],
            value=self.value[rows],
            half=self.half[rows],
            group=self.group[rows],
        )


class Features:
    """Values of samples, from which blocks are made ready on a device.

    Args:
        values: (n, feature) or (n,), a NumPy array (memory-mapped or not) or a tensor; any real
            dtype. Read row by row where asked, never copied whole.
        dissimilarity: what blocks are made ready for.
        device: where blocks shall be.
        precision: of the products; ``auto`` is float64 for float64 values, for ``absolute`` (whose
            square root would show what float32 rounds) and for values that squared leave its range,
            and else float32, in which half squares are right to 1e-7 of the variance.
            ``bfloat16`` rounds the values first; half the squared lengths are those of the rounded
            rows, so that near duplicates stay near. Scalars are never rounded.

    Raises:
        ConfigError: the dissimilarity or the precision is unknown.
        DataError: there are no samples or no features, values are not real numbers, or
            cosines are asked of scalars.
    """

    def __init__(
        self,
        values: Values,
        *,
        dissimilarity: Dissimilarity,
        device: torch.device,
        precision: Precision = "auto",
    ) -> None:
        check_dissimilarity(dissimilarity)
        if precision not in get_args(Precision):
            raise ConfigError(f"precision {precision!r}: one of {', '.join(get_args(Precision))}")
        self._values: Any = values[:, None] if values.ndim == 1 else values
        self._device = device
        self._cosine = dissimilarity == "cosine"
        self._check()
        self.center: Tensor | float = 0.0
        self.typical = 1.0
        if not self._cosine:
            self._survey()
        double = str(values.dtype).endswith("float64") or dissimilarity == "absolute"
        double = double or not 1e-20 < self.typical < 1e20
        if precision == "bfloat16" and self.feature_dim == 1:
            precision = "float32"
        self.dtype = _DTYPES[
            ("float64" if double else "float32") if precision == "auto" else precision
        ]

    def __len__(self) -> int:
        return int(self._values.shape[0])

    @property
    def feature_dim(self) -> int:
        """Numbers a sample has."""
        return int(self._values.shape[1])

    def rows(self, index: Int64[Tensor, " row"]) -> tuple[Tensor, Tensor]:
        """Values and half squared lengths of these rows, made ready.

        Raises:
            DataError: a value is not finite, or a vector to take a cosine of has no length.
        """
        # what is read is a copy and may be changed in place: new memory costs more than arithmetic
        value = self._read(index)
        wide = torch.float64 if self.dtype == torch.float64 else torch.float32
        if self._cosine:
            value = _unit_rows(value.to(wide))
        else:
            value = value.to(torch.float64).sub_(self.center).to(wide)
        value = value.to(self.dtype)
        half = torch.linalg.vector_norm(value, dim=1, dtype=wide).square_().div_(2)
        if not bool(torch.isfinite(half).all()):
            self._complain(index, int(torch.nonzero(~torch.isfinite(half))[0]))
        return value, half

    def _read(self, index: Int64[Tensor, " row"]) -> Tensor:
        if isinstance(self._values, Tensor):
            return self._values.detach()[index.to(self._values.device)].to(self._device)
        return torch.from_numpy(np.ascontiguousarray(self._values[index.cpu().numpy()])).to(
            self._device
        )

    def _complain(self, index: Tensor, at: int) -> None:
        row = int(index[at])
        if bool(torch.isfinite(self._read(index[at : at + 1]).double()).all()):
            raise DataError(f"the values of sample {row} have no length, or too great a one")
        raise DataError(f"a value of sample {row} is not finite")

    def _check(self) -> None:
        if self._values.ndim != 2 or self._values.shape[1] < 1:
            raise DataError(
                f"values: expected (n,) or (n, feature), got {tuple(self._values.shape)}"
            )
        if not len(self):
            raise DataError("there are no samples to compare")
        kind = str(self._values.dtype).removeprefix("torch.")
        if not kind.startswith(("float", "int", "uint", "bfloat")):
            raise DataError(f"values must be real numbers, not {kind}")
        if self._cosine and self.feature_dim == 1:
            raise DataError('scalars have no cosine: use dissimilarity="squared"')

    def _survey(self) -> None:
        """Centre, and the median half square of some pairs, from evenly spaced rows.

        The median, because one outlier makes a variance whatever it likes.
        """
        index = torch.arange(0, len(self), max(1, len(self) // _SURVEYED))
        total = torch.zeros(self.feature_dim, dtype=torch.float64, device=self._device)
        first = self._read(index[:1]).to(torch.float64)
        for part in index.split(4096):
            total += (self._read(part).to(torch.float64) - first).sum(dim=0)
        self.center = first[0] + total / len(index)
        if not bool(torch.isfinite(self.center).all()):
            finite = torch.isfinite(self._read(index).double()).all(dim=1)
            bad = torch.nonzero(~finite)
            row = int(index[int(bad[0])]) if len(bad) else 0
            raise DataError(f"a value of sample {row} is not finite")
        rows = self._read(index[:: max(1, len(index) // _COMPARED)]).to(torch.float64)
        squares = torch.cat([(rows - rows.roll(by, 0)).square().sum(1) / 2 for by in (1, 7, 31)])
        different = squares[squares > 0]
        self.typical = float(different.median()) if len(different) else 1.0


def _unit_rows(value: Float[Tensor, "n feature"]) -> Float[Tensor, "n feature"]:
    """Rows of length one, changed in place; what float32 cannot square is measured in float64."""
    norm = torch.linalg.vector_norm(value, dim=1, keepdim=True)
    if bool(((norm > 1e-15) & (norm < 1e15)).all()):
        return value.div_(norm)
    wide = value.to(torch.float64)
    wide = wide / wide.abs().amax(dim=1, keepdim=True)
    return (wide / torch.linalg.vector_norm(wide, dim=1, keepdim=True)).to(value.dtype)
