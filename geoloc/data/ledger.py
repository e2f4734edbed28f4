"""LossLedger: how many samples were seen, how many lost, of what kind, and which first."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from geoloc.errors import LostSamplesError

LOGGED_PER_KIND = 20

_EXAMPLES_PER_KIND = 5
_log = logging.getLogger("geoloc.data")


@dataclass(frozen=True, slots=True, kw_only=True)
class LostSample:
    """A sample, or several that nothing is left of, which was to be there and cannot be used.

    Attributes:
        kind: a short word for counting, such as ``"vanished"`` or ``"missing_json"``.
        shard: where it was looked for.
        key: its name, as far as anybody can tell.
        count: how many samples; more than one only where they have no key.
        detail: what was met, in one line.
        surplus: whether it lies beyond the number of samples that the shard is said to hold.
    """

    kind: str
    shard: str
    key: str | None = None
    count: int = 1
    detail: str = ""
    surplus: bool = False

    @property
    def where(self) -> str:
        """The sample in the words of a message: its key and its shard."""
        return f"{self.key} in {self.shard}" if self.key is not None else self.shard

    def log(self) -> None:
        """Say it once to the logger ``geoloc.data``."""
        what = "surplus" if self.surplus else "lost"
        times = f"{self.count} samples of " if self.count > 1 else ""
        detail = f" ({self.detail})" if self.detail else ""
        _log.warning("%s, %s: %s%s%s", what, self.kind, times, self.where, detail)


@dataclass(slots=True, kw_only=True)
class LossLedger:
    """The account of a pass over samples: ``valid + lost == seen``, always.

    Attributes:
        valid: samples that could be used.
        by_kind: samples lost, by kind.
        examples: where the first few of each kind were lost.
        surplus: samples beyond the number that their shard is said to hold; not used, and neither
            valid nor lost.
        left_out: valid samples that were not given because they stood alone in a training batch.
    """

    valid: int = 0
    by_kind: dict[str, int] = field(default_factory=dict[str, int])
    examples: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    surplus: int = 0
    left_out: int = 0

    @property
    def lost(self) -> int:
        """Samples lost, of all kinds."""
        return sum(self.by_kind.values())

    @property
    def seen(self) -> int:
        """Samples accounted for: valid and lost."""
        return self.valid + self.lost

    def add(self, lost: LostSample) -> None:
        """Count a loss."""
        if lost.surplus:
            self.surplus += lost.count
        else:
            self.by_kind[lost.kind] = self.by_kind.get(lost.kind, 0) + lost.count
        kind = "surplus" if lost.surplus else lost.kind
        known = self.examples.setdefault(kind, [])
        if len(known) < _EXAMPLES_PER_KIND:
            known.append(lost.where)

    def merge(self, other: LossLedger) -> LossLedger:
        """The account of both together; neither is changed."""
        by_kind, examples = dict(self.by_kind), {k: list(v) for k, v in self.examples.items()}
        for kind, count in other.by_kind.items():
            by_kind[kind] = by_kind.get(kind, 0) + count
        for kind, places in other.examples.items():
            examples[kind] = [*examples.get(kind, []), *places][:_EXAMPLES_PER_KIND]
        return LossLedger(
            valid=self.valid + other.valid,
            by_kind=by_kind,
            examples=examples,
            surplus=self.surplus + other.surplus,
            left_out=self.left_out + other.left_out,
        )

    def copy(self) -> LossLedger:
        """An account of its own with the same figures."""
        return self.merge(LossLedger())

    def exceeds(self, share: float, *, total: int | None = None, minimum_seen: int = 1) -> bool:
        """Whether more than a share of the samples is lost.

        Args:
            share: of all samples, 0..1.
            total: samples of the whole pass, if known: then the verdict is sure, whatever is
                still to come, and one bad shard at the start does not end a long pass.
            minimum_seen: without a total there is no verdict before so many samples were seen.
        """
        # Divided, not multiplied: 6 of 47 must not exceed a share of 6 / 47.
        if total is not None:
            return self.lost > 0 and self.lost / max(total, 1) > share
        return self.lost > 0 and self.seen >= minimum_seen and self.lost / self.seen > share

    def raise_above(self, share: float, *, total: int | None = None, minimum_seen: int = 1) -> None:
        """Refuse to go on when more than a share of the samples is lost; see `exceeds`.

        Raises:
            LostSamplesError: it is; the message has the kinds and the first places.
        """
        if not self.exceeds(share, total=total, minimum_seen=minimum_seen):
            return
        of = f"the {total:,} samples of a pass" if total is not None else f"{self.seen:,} samples"
        raise LostSamplesError(
            f"{self.lost:,} of {of} are lost, more than the {share:.3g} allowed: "
            f"{self.kinds_text()}. Look with `geoloc shards verify`, mend or replace the shards, "
            "or allow a larger share (max_lost_share)"
        )

    def kinds_text(self) -> str:
        """The kinds in one line, most frequent first, with the first place of each."""
        order = sorted(self.by_kind.items(), key=lambda item: (-item[1], item[0]))
        return "; ".join(
            f"{kind} {count:,} (first: {self.examples[kind][0]})"
            if self.examples.get(kind)
            else f"{kind} {count:,}"
            for kind, count in order
        )

    def to_json(self) -> dict[str, Any]:
        """The account as a mapping that `json` can write."""
        return {
            "valid": self.valid,
            "lost": self.lost,
            "by_kind": dict(sorted(self.by_kind.items())),
            "surplus": self.surplus,
            "left_out": self.left_out,
            "examples": {kind: list(places) for kind, places in sorted(self.examples.items())},
        }

    @classmethod
    def from_json(cls, mapping: Mapping[str, Any]) -> LossLedger:
        """The account that `to_json` wrote."""
        return cls(
            valid=int(mapping["valid"]),
            by_kind={str(kind): int(count) for kind, count in mapping["by_kind"].items()},
            examples={str(kind): list(v) for kind, v in mapping["examples"].items()},
            surplus=int(mapping["surplus"]),
            left_out=int(mapping["left_out"]),
        )


class LossLog:
    """Logs each lost sample once, with its key, and only the first so many of each kind."""

    def __init__(self, limit: int = LOGGED_PER_KIND) -> None:
        self._limit = limit
        self._logged: dict[str, int] = {}

    def admits(self, lost: LostSample) -> bool:
        """Whether this one is still to be logged; counts it."""
        kind = f"surplus {lost.kind}" if lost.surplus else lost.kind
        before = self._logged.get(kind, 0)
        self._logged[kind] = before + 1
        return before < self._limit

    def write(self, lost: LostSample) -> None:
        """Log it if it is among the first of its kind, and say when silence begins."""
        if self.admits(lost):
            lost.log()
            if not self.admits_more(lost):
                _log.warning("more of this kind (%s) are counted, not logged", lost.kind)

    def admits_more(self, lost: LostSample) -> bool:
        """Whether another one of the same kind would still be logged."""
        kind = f"surplus {lost.kind}" if lost.surplus else lost.kind
        return self._logged.get(kind, 0) < self._limit

    @staticmethod
    def close(ledger: LossLedger, what: str) -> None:
        """One line at the end, when anything was lost at all."""
        if ledger.lost or ledger.surplus:
            _log.warning(
                "%s: %d valid, %d lost, %d surplus: %s",
                what,
                ledger.valid,
                ledger.lost,
                ledger.surplus,
                ledger.kinds_text(),
            )
