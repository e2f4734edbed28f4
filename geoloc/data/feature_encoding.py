"""cached_features: the features of shards, opened where they lie, else computed shard by shard."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from geoloc.batch import GeoBatch
from geoloc.data.feature_building import (
    FeatureBuilding,
    is_complete,
    only_process,
    settle,
    total_account,
)
from geoloc.data.feature_cache import FeatureCache
from geoloc.data.feature_files import FeatureLayout
from geoloc.data.feature_images import ShardImages, load_images
from geoloc.data.feature_parts import PartNote, SampleColumns
from geoloc.data.feature_rows import WriteRows
from geoloc.data.feature_source import FeatureSource, room_for_samples
from geoloc.data.ledger import LossLedger, LossLog
from geoloc.errors import DataError
from geoloc.ranks import Ranks

Progress = Callable[[int, int], None]
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureEncoder:
    """What makes features of images.

    Attributes:
        encode: images to features, one row each; these may lie on a GPU, and are waited for as late
            as possible.
        fingerprint: of encoder and weights.
        feature_dim: length of a feature.
        dtype: of features on disk.
    """

    encode: Callable[[Tensor], Tensor]
    fingerprint: str
    feature_dim: int
    dtype: Literal["float16", "float32"] = "float16"


def cached_features(
    folder: Path,
    source: FeatureSource,
    encoder: FeatureEncoder,
    *,
    ranks: Ranks | None = None,
    progress: Progress | None = None,
) -> FeatureCache:
    """The features of a source: opened where they lie in `folder`, else computed and put there.

    The unit of work is the shard. Processes take shards in turn and write into one file, of which
    every shard has its own rows; a shard whose features are on the disk is never read again,
    whatever interrupted the rest. The files have the same bytes with any number of processes and
    loader workers. Another run that computes the same is waited for.

    Args:
        folder: where the cache is or is to be.
        source: the samples.
        encoder: called only where there is no cache.
        ranks: the processes that compute together; all of them must call this.
        progress: told how many samples of this process are done, and of how many.

    Raises:
        DataError: the cache is damaged or of another version; or no sample, a key that comes twice,
            a feature that is not finite in `dtype`, or a full disk.
        LostSamplesError: more samples are lost than the source allows.
        MismatchError: there is a cache of something else.
    """
    together = ranks or Ranks()
    fingerprint = source.fingerprint(backbone=encoder.fingerprint, dtype=encoder.dtype)
    # The main process's word: another may be slow to see what a shared disk has.
    if not together.objects(folder.exists())[0]:
        beside = folder.with_name(f".{folder.name}.building")
        alone = only_process(beside) if together.is_main else nullcontext()
        with alone, _room_needed(folder):
            if not together.objects(folder.exists() or is_complete(beside, fingerprint))[0]:
                _compute(beside, source, encoder, ranks=together, progress=progress)
            with together.main_first():
                if together.is_main and not folder.exists():
                    settle(beside, folder)
    return FeatureCache.open(folder, fingerprint=fingerprint)


def _compute(
    beside: Path,
    source: FeatureSource,
    encoder: FeatureEncoder,
    *,
    ranks: Ranks,
    progress: Progress | None,
) -> None:
    """Compute what is not there yet, this process its part of the shards; the main one finishes."""

    def layout() -> FeatureLayout:
        rows = room_for_samples(source.shards, source.opener)
        return FeatureLayout(
            rows=rows, views=source.views, dim=encoder.feature_dim, dtype=encoder.dtype
        )

    with ranks.main_first():
        if ranks.is_main:
            fingerprint = source.fingerprint(backbone=encoder.fingerprint, dtype=encoder.dtype)
            building = FeatureBuilding.begin(beside, fingerprint, layout)
        else:
            building = FeatureBuilding.open(beside)
    finished = building.finished()
    left = [shard for shard in range(len(source.shards)) if shard not in finished]
    left = ranks.objects(left)[0]
    if mine := left[ranks.rank :: ranks.size]:
        account = total_account(finished.values())
        _Shards(building, source, encoder, account, progress).encode(mine)
    ranks.wait()
    if ranks.is_main:
        account = building.account()
        LossLog.close(account, "features")
        account.raise_above(source.max_lost_share)
        building.finish()


@dataclass(slots=True)
class _OpenShard:
    """A shard of which not all features are written yet.

    Attributes:
        sha256: of the features so far, one a view.
        samples: so far.
    """

    sha256: Sequence[Any]
    samples: SampleColumns = field(default_factory=SampleColumns)


@dataclass(slots=True)
class _Shards:
    """Encodes shards, several at a time, as loader workers send them.

    Attributes:
        account: of the shards that this process knows to be finished.
    """

    building: FeatureBuilding
    source: FeatureSource
    encoder: FeatureEncoder
    account: LossLedger
    progress: Progress | None
    _: KW_ONLY
    _open: dict[int, _OpenShard] = field(default_factory=dict[int, _OpenShard])

    def encode(self, shards: Sequence[int]) -> None:
        """Encode these shards and note each as finished when it is."""
        log, layout = LossLog(), self.building.layout
        done, total = 0, sum(layout.rows[shard] for shard in shards)
        with self.building.rows.open() as write:
            images = load_images(self.source, shards)
            for message, feature in _encoded(images, self.encoder.encode):
                for lost in message.losses:
                    log.write(lost)
                if message.batch is None or feature is None:
                    self._close(message)
                    continue
                self._put(write, message, message.batch, feature)
                done += len(message.batch) * (message.view == layout.views - 1)
                if self.progress is not None:
                    self.progress(done, total)

    def _put(
        self, write: WriteRows, message: ShardImages, batch: GeoBatch, feature: Tensor
    ) -> None:
        layout, url = self.building.layout, self.source.shards.urls[message.shard]
        if message.first + len(batch) > layout.rows[message.shard]:
            raise DataError(f"{url} has more samples than were counted: did it change just now?")
        rows = _rows(feature, batch, self.encoder)
        write(message.shard, message.view, message.first, rows)
        hashes = (hashlib.sha256() for _ in range(layout.views))
        shard = self._open.setdefault(message.shard, _OpenShard([*hashes]))
        shard.sha256[message.view].update(rows)
        if message.view == 0:
            shard.samples.add(batch)

    def _close(self, message: ShardImages) -> None:
        assert message.ledger is not None, "a shard ends with its account"
        empty = _OpenShard([hashlib.sha256() for _ in range(self.building.layout.views)])
        shard = self._open.pop(message.shard, empty)
        note = PartNote(
            ledger=message.ledger, sha256=tuple(each.hexdigest() for each in shard.sha256)
        )
        self.building.finish_shard(message.shard, shard.samples, note)
        self.account = self.account.merge(message.ledger)
        # With the total known the verdict is sure, whatever is still to come.
        total = self.building.layout.total
        self.account.raise_above(self.source.max_lost_share, total=total)


def _encoded(
    images: Iterable[ShardImages], encode: Callable[[Tensor], Tensor]
) -> Generator[tuple[ShardImages, Tensor | None]]:
    """Messages with their features, one late: a GPU has the next batch before it is waited for."""
    before: tuple[ShardImages, Tensor] | None = None
    for message in images:
        now = None
        if message.batch is not None and message.batch.image is not None:
            with torch.no_grad():
                now = message, encode(message.batch.image)
        if before is not None:
            yield before
        before = now
        if now is None:
            # At its end a shard is noted at once: nothing of it is waited for any more.
            yield message, None
    if before is not None:
        yield before


def _rows(
    feature: Float[Tensor, "batch feature"], batch: GeoBatch, encoder: FeatureEncoder
) -> NDArray[Any]:
    with np.errstate(over="ignore"):
        rows = feature.float().cpu().numpy().astype(encoder.dtype)
    if rows.shape != (len(batch), encoder.feature_dim):
        raise DataError(
            f"features of shape {rows.shape} for {len(batch)} images x {encoder.feature_dim}"
        )
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if bad.size:
        raise DataError(
            f"the feature of sample {batch.key[int(bad[0])]} is not finite in {encoder.dtype}: "
            "use float32, or look for a damaged image or backbone"
        )
    return np.ascontiguousarray(rows)


@contextmanager
def _room_needed(folder: Path) -> Generator[None]:
    """Say in one line what a full disk means here."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise DataError(
            f"no room is left in {folder.parent} ({error.strerror}): features of finished shards "
            "are kept; make room and start again to go on"
        ) from error
