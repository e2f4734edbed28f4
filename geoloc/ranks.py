"""Ranks: the processes of a run, one a device, and what they tell one another.

Whatever crosses from one process to another goes through here. A run of one process has `Ranks()`,
whose methods give back what they are given.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from jaxtyping import Float, Num, Shaped
from torch import Tensor

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Ranks:
    """The processes of a run. Methods must be called by all of them, in one order.

    Attributes:
        rank: number of this process.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def joined(cls) -> Ranks:
        """The processes of the default group; one alone where none was initialised."""
        if not (dist.is_available() and dist.is_initialized()):
            return cls()
        return cls(rank=dist.get_rank(), size=dist.get_world_size())

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def stacked(self, tensor: Num[Tensor, ...]) -> Num[Tensor, "rank ..."]:
        """What each process has, equal in shape, without gradient."""
        if self.size == 1:
            return tensor.detach()[None]
        parts = [torch.empty_like(tensor) for _ in range(self.size)]
        dist.all_gather(parts, tensor.detach().contiguous())
        return torch.stack(parts)

    def counts(self, count: int) -> list[int]:
        """A number that each process has; sent over the CPU, so that no device is waited for."""
        return [count] if self.size == 1 else self.stacked(torch.tensor(count)).tolist()

    def gathered(
        self, tensor: Num[Tensor, "part ..."], counts: Sequence[int] | None = None
    ) -> Num[Tensor, "whole ..."]:
        """The parts of all processes in the order of ranks, without gradient.

        Args:
            tensor: the part of this process.
            counts: lengths of the parts (see `counts`); None where all are equally long.
        """
        if self.size == 1:
            return tensor.detach()
        if counts is None or len(set(counts)) == 1:
            return self.stacked(tensor).flatten(0, 1)
        padded = tensor.new_zeros((max(counts), *tensor.shape[1:]))
        padded[: len(tensor)] = tensor.detach()
        parts = zip(self.stacked(padded), counts, strict=True)
        return torch.cat([part[:count] for part, count in parts])

    def gathered_with_gradient(
        self, tensor: Float[Tensor, "part ..."]
    ) -> Float[Tensor, "whole ..."]:
        """Equally long parts; the gradient of each is the sum of what all processes ask of it."""
        return tensor if self.size == 1 else _Gathered.apply(tensor, self)

    def total(self, tensor: Num[Tensor, ...]) -> Num[Tensor, ...]:
        """The sum over processes, without gradient; the argument stays as it is."""
        if self.size == 1:
            return tensor.detach()
        whole = tensor.detach().clone()
        dist.all_reduce(whole)
        return whole

    def sent(self, tensor: Shaped[Tensor, ...], source: int = 0) -> Shaped[Tensor, ...]:
        """What the process `source` has, on all of them.

        Args:
            tensor: on the others any of the same dtype, device and number of axes.
            source: number of the process.
        """
        if self.size == 1:
            return tensor.detach()
        shape = torch.tensor(tensor.shape, dtype=torch.int64)
        dist.broadcast(shape, src=source)
        whole = tensor.detach().contiguous()
        if self.rank != source:
            whole = tensor.new_empty(shape.tolist())
        dist.broadcast(whole, src=source)
        return whole

    def brought(self, tensors: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
        """Named tensors of every process on the main one, on the CPU; elsewhere an empty list.

        One at a time and to the main process alone, so that nobody else needs room for them.
        """
        mine = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        if self.size == 1:
            return [mine]
        kinds = self.objects({name: (each.shape, each.dtype) for name, each in mine.items()})
        if not self.is_main:
            for tensor in mine.values():
                dist.send(tensor, dst=0)
            return []
        whole = [mine]
        for rank, kind in enumerate(kinds[1:], start=1):
            theirs = {
                name: torch.empty(shape, dtype=dtype) for name, (shape, dtype) in kind.items()
            }
            for tensor in theirs.values():
                dist.recv(tensor, src=rank)
            whole.append(theirs)
        return whole

    def objects(self, value: _T) -> list[_T]:
        """What each process has, anything that pickles."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def wait(self) -> None:
        """Until every process is here."""
        self.counts(0)

    @contextmanager
    def main_first(self) -> Generator[None]:
        """Let the main process do something (make files, mostly), and then all the others."""
        if not self.is_main:
            self.wait()
        yield
        if self.is_main:
            self.wait()


class _Gathered(torch.autograd.Function):
    """All parts on every process; backward, each part's gradient is summed where it came from."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks, ctx.rows = ranks, len(part)
        return ranks.gathered(part)

    @staticmethod
    def backward(ctx: Any, *asked: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        ranks, rows, whole = ctx.ranks, ctx.rows, asked[0].contiguous()
        if whole.is_cuda:
            mine = whole.new_empty((rows, *whole.shape[1:]))
            dist.reduce_scatter(mine, list(whole.split(rows)))
            return mine, None
        # What carries CPU tensors (gloo) sums only whole.
        first = ranks.rank * rows
        return ranks.total(whole)[first : first + rows], None
