"""BatchSource and HeldBatches: a stream, and those of its batches of which samples still wait."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from geoloc.batch import GeoBatch
from geoloc.errors import MismatchError


@runtime_checkable
class BatchSource(Protocol):
    """Passes over samples, batch by batch; a stream of shards is one."""

    @property
    def steps_per_epoch(self) -> int | None:
        """Batches in one pass, if known."""
        ...

    def epoch(self, epoch: int) -> Iterator[GeoBatch]:
        """One pass, the same for equal `epoch`; after `restore` the rest of one."""
        ...

    def state(self) -> dict[str, Any]:
        """The position after the batch given last, JSON-able."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Let the next `epoch` go on after that position."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Held:
    """One batch by reference, where its source stood before it, and who of it has gone out."""

    batch: GeoBatch
    position: dict[str, Any] | None
    gone: Bool[np.ndarray, " sample"]


class HeldBatches:
    """The batches that came in and have not quite gone out, numbered from 0 in the pass.

    A batch goes out for each that came in, of the same size.

    Attributes:
        given: batches given out.
        exhausted: whether the source has no more.
    """

    def __init__(self) -> None:
        self.given = 0
        self.exhausted = False
        self._first = 0
        self._held: deque[_Held] = deque()
        # Of batches that are read again: who had gone out before.
        self._gone_before: deque[str] = deque()

    @property
    def waiting(self) -> int:
        """Batches that have come in and for which none has gone out yet."""
        return max(self._first + len(self._held) - self.given, 0)

    @property
    def next_size(self) -> int:
        """Samples of the next batch to go out."""
        return len(self._held[self.given - self._first].batch)

    def take(
        self, batch: GeoBatch, position: dict[str, Any] | None
    ) -> tuple[int, Bool[np.ndarray, " sample"]]:
        """Hold a batch; its number, and who of it has gone out before the pass was interrupted.

        Args:
            batch: held by reference.
            position: of the source before it; None at the beginning of the pass.

        Raises:
            MismatchError: it is not what the source gave before.
        """
        gone = np.zeros(len(batch), dtype=np.bool_)
        if self._gone_before:
            noted = np.unpackbits(np.frombuffer(bytes.fromhex(self._gone_before[0]), np.uint8))
            self._gone_before.popleft()
            if len(noted) != -(-len(batch) // 8) * 8:
                raise MismatchError("the source does not give again the batches it gave before")
            gone = noted[: len(batch)].astype(np.bool_)
        self._held.append(_Held(batch=batch, position=position, gone=gone))
        return self._first + len(self._held) - 1, gone.copy()

    def give(
        self, number: Int64[np.ndarray, " sample"], row: Int64[np.ndarray, " sample"]
    ) -> GeoBatch:
        """A batch of samples by the batch they came with and their row in it; they are gone."""
        sources = [self._held[n - self._first] for n in number.tolist()]
        rows = row.tolist()
        for held, at in zip(sources, rows, strict=True):
            held.gone[at] = True
        batch = _collated([held.batch for held in sources], rows)
        self.given += 1
        # The size of a batch that is all gone is still asked for when its turn comes.
        while self._held and self._first < self.given and bool(self._held[0].gone.all()):
            self._held.popleft()
            self._first += 1
        return batch

    def state(self, now: dict[str, Any]) -> dict[str, Any]:
        """What `restored` needs; JSON-able.

        Args:
            now: where the source stands now.
        """
        return {
            "position": self._held[0].position if self._held else now,
            "first": self._first,
            "given": self.given,
            "gone": [np.packbits(held.gone).tobytes().hex() for held in self._held],
            "finished": self.exhausted and not self._held,
        }

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> HeldBatches:
        """As it was, once the source has given again what it gave after the state's position."""
        held = cls()
        held.given, held._first = int(state["given"]), int(state["first"])
        held._gone_before = deque(state["gone"])
        return held


def _collated(batches: Sequence[GeoBatch], rows: Sequence[int]) -> GeoBatch:
    """One batch of a sample each; a whole batch in its own order is handed on as it is."""
    first = batches[0]
    whole = all(batch is first for batch in batches)
    if whole and list(rows) == list(range(len(first))):
        return first
    pairs = list(zip(batches, rows, strict=True))
    labelled = all(batch.label for batch in batches)
    return GeoBatch(
        key=tuple(batch.key[row] for batch, row in pairs),
        latlon_deg=torch.stack([batch.latlon_deg[row] for batch, row in pairs]),
        image=_stacked([None if b.image is None else b.image[row] for b, row in pairs]),
        feature=_stacked([None if b.feature is None else b.feature[row] for b, row in pairs]),
        label=tuple(batch.label[row] for batch, row in pairs) if labelled else (),
    )


def _stacked(parts: Sequence[Tensor | None]) -> Tensor | None:
    """The rows in one copy, page-locked where they are."""
    present = [part for part in parts if part is not None]
    if len(present) < len(parts):
        return None
    first = present[0]
    room = torch.empty(
        (len(present), *first.shape), dtype=first.dtype, pin_memory=first.is_pinned()
    )
    return torch.stack(present, out=room)
