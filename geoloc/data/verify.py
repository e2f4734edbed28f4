"""verify_shards: every image decoded, every place checked, every expected sample accounted for."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from geoloc.artifacts import sha256_of
from geoloc.data.encoded_image import EncodedImage
from geoloc.data.ledger import LossLedger, LossLog, LostSample
from geoloc.data.reading import ShardReader, open_sample
from geoloc.data.shard_list import ShardList, list_shards
from geoloc.data.sidecars import (
    CHECKSUMS_FILE,
    NotedFile,
    is_local,
    read_checksums,
    shard_name,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardCheck:
    """What became of one shard.

    Attributes:
        shard: its file name.
        expected: its number of samples by sizes.json; None if nobody says.
        ledger: valid and lost samples; with an expected number ``ledger.seen`` equals it.
        faults: damage that the reader met, one line each.
        keys: hashes of the keys of its valid samples.
        losses: the first losses of each kind.
        altered: whether its bytes are not those that checksums.json notes.
    """

    shard: str
    expected: int | None
    ledger: LossLedger
    faults: tuple[str, ...]
    keys: tuple[int, ...]
    losses: tuple[LostSample, ...]
    altered: bool = False

    def to_json(self) -> dict[str, Any]:
        """The check as a mapping that `json` can write."""
        account = self.ledger.to_json()
        del account["left_out"]
        return {
            "shard": self.shard,
            "expected": self.expected,
            **account,
            "faults": list(self.faults),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardReport:
    """What verification found in a set of shards.

    Attributes:
        ledger: of all shards together.
        shards: each shard by itself.
        repeated_keys: valid samples whose key another shard has too.
    """

    ledger: LossLedger
    shards: tuple[ShardCheck, ...]
    repeated_keys: int = 0

    @property
    def valid(self) -> int:
        """Samples that can be used."""
        return self.ledger.valid

    @property
    def lost(self) -> int:
        """Samples that cannot; with sizes.json, ``valid + lost`` is its sum."""
        return self.ledger.lost

    @property
    def by_kind(self) -> dict[str, int]:
        """Samples lost, by kind."""
        return dict(self.ledger.by_kind)

    @property
    def damaged(self) -> bool:
        """Whether anything is lost, surplus, or stands twice, or bytes are not those noted."""
        altered = any(check.altered for check in self.shards)
        return bool(self.lost or self.ledger.surplus or self.repeated_keys or altered)

    def to_json(self) -> dict[str, Any]:
        """The report as a mapping that `json` can write; details only of shards with any."""
        return {
            "valid": self.valid,
            "lost": self.lost,
            "by_kind": dict(sorted(self.by_kind.items())),
            "surplus": self.ledger.surplus,
            "repeated_keys": self.repeated_keys,
            "shard_count": len(self.shards),
            "shards": [check.to_json() for check in self._telling()],
        }

    def to_text(self) -> str:
        """The report for a reader."""
        lines = [
            f"{len(self.shards):,} shards: {self.valid:,} samples valid, {self.lost:,} lost",
            *(f"  {kind}: {count:,}" for kind, count in sorted(self.by_kind.items())),
        ]
        if self.ledger.surplus:
            lines.append(f"  beyond the number in sizes.json (not used): {self.ledger.surplus:,}")
        if self.repeated_keys:
            lines.append(
                f"  valid, but their key stands in another shard too: {self.repeated_keys:,}"
            )
        for check in self._telling():
            lines.append(f"{check.shard}: {check.ledger.valid:,} valid, {check.ledger.lost:,} lost")
            lines.extend(
                f"  {kind}: {', '.join(places)}" for kind, places in check.ledger.examples.items()
            )
            lines.extend(f"  met: {fault}" for fault in check.faults[:10])
        return "\n".join(lines)

    def _telling(self) -> list[ShardCheck]:
        return [c for c in self.shards if c.ledger.lost or c.ledger.surplus or c.faults]


def verify_shards(
    source: str | os.PathLike[str] | Sequence[str] | ShardList,
    *,
    processes: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> ShardReport:
    """Decode every image and check every place; each lost sample is logged once.

    Shards of this machine are also held against the SHA-256 in checksums.json, where it is there.

    Args:
        source: see `list_shards`.
        processes: how many work at it.
        progress: told after each shard how many are done, and of how many.

    Raises:
        DataError: there is no shard, or sizes.json cannot be read.
    """
    shards = list_shards(source, strict=False)
    tasks = list(zip(shards.urls, shards.sizes, _noted_sums(shards.urls), strict=True))
    processes = min(processes, len(tasks))
    ledger, log, checks = LossLedger(), LossLog(), list[ShardCheck]()
    keys, repeated = set[int](), 0

    def collect(check: ShardCheck) -> None:
        nonlocal ledger, repeated
        ledger = ledger.merge(check.ledger)
        for lost in check.losses:
            log.write(lost)
        before = len(keys)
        keys.update(check.keys)
        repeated += len(check.keys) - (len(keys) - before)
        checks.append(check)
        if progress is not None:
            progress(len(checks), len(tasks))

    if processes > 1:
        with ProcessPoolExecutor(processes) as pool:
            for check in pool.map(_check_shard, tasks):
                collect(check)
    else:
        for task in tasks:
            collect(_check_shard(task))
    log.close(ledger, "shards verified")
    return ShardReport(ledger=ledger, shards=tuple(checks), repeated_keys=repeated)


def _noted_sums(urls: Sequence[str]) -> list[str | None]:
    """The SHA-256 that is noted of each local shard that is there."""
    noted: dict[str, dict[str, NotedFile]] = {}
    sums: list[str | None] = []
    for url in urls:
        if not is_local(url) or not Path(url).is_file():
            sums.append(None)
            continue
        folder = str(Path(url).parent)
        if folder not in noted:
            noted[folder] = read_checksums(folder)
        file = noted[folder].get(Path(url).name)
        sums.append(None if file is None else file.sha256)
    return sums


def _check_shard(task: tuple[str, int | None, str | None]) -> ShardCheck:
    url, expected, noted = task
    reader = ShardReader(url, expected=expected)
    ledger, log, keys = LossLedger(), LossLog(), list[int]()
    losses: list[LostSample] = []
    for item in reader:
        outcome = item if isinstance(item, LostSample) else open_sample(item, _decoded)
        if isinstance(outcome, LostSample):
            ledger.add(outcome)
            if log.admits(outcome):
                losses.append(outcome)
        else:
            ledger.valid += 1
            keys.append(_key_hash(outcome[0].key))
    altered = noted is not None and sha256_of(Path(url)) != noted
    told = [f"its SHA-256 is not the one in {CHECKSUMS_FILE}"] if altered else []
    return ShardCheck(
        shard=shard_name(url),
        expected=expected,
        ledger=ledger,
        faults=(*reader.faults, *told),
        keys=tuple(keys),
        losses=tuple(losses),
        altered=altered,
    )


def _decoded(image: EncodedImage, key: str) -> None:
    """See whether all of an image can be decoded."""
    del key
    image.pixels()


def _key_hash(key: str) -> int:
    # Python's own hash of a text differs between processes.
    return int.from_bytes(blake2b(key.encode("utf-8"), digest_size=8).digest(), "little")
