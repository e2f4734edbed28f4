"""FeatureBuilding: a feature cache that is being computed, by one process or several at once.

Its folder lies beside the place of the cache and has ``building.json`` (what is computed),
``rows.npy`` (room for all features; each shard has rows of its own) and a part for each finished
shard (`feature_parts`). Processes write to rows of their own, so none waits for another; whatever
kills them, finished shards stay. At the end the folder is renamed.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from geoloc.artifacts import sha256_of, sync, write_json
from geoloc.data.feature_files import (
    FEATURES,
    META,
    SAMPLES,
    SCHEMA_VERSION,
    FeatureLayout,
    read_meta,
)
from geoloc.data.feature_parts import (
    PartNote,
    SampleColumns,
    merge_parts,
    part_path,
    read_note,
    write_part,
)
from geoloc.data.feature_rows import FeatureRows, OtherRowsError
from geoloc.data.ledger import LossLedger
from geoloc.errors import DataError

_BUILDING = "building.json"
_ROWS = "rows.npy"
_LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class FeatureBuilding:
    """The folder of a cache that is being computed.

    Attributes:
        folder: where it lies.
        layout: rows of the shards.
        fingerprint: what the features are computed from.
    """

    folder: Path
    layout: FeatureLayout
    fingerprint: Mapping[str, str]

    @classmethod
    def begin(
        cls, folder: Path, fingerprint: Mapping[str, str], layout: Callable[[], FeatureLayout]
    ) -> FeatureBuilding:
        """Go on with the folder if it is of the same features, else begin it anew.

        Args:
            folder: anything but a beginning of the same features is deleted.
            fingerprint: what the features are computed from.
            layout: called to begin anew; it may have to count samples.

        Raises:
            DataError: there is no room on the disk.
        """
        with suppress(OSError, ValueError, KeyError, TypeError):
            found = cls.open(folder)
            same = dict(found.fingerprint) == dict(fingerprint)
            if same and found.rows.is_made():
                return found
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            if path.name != _LOCK:
                path.unlink()
        building = cls(folder, layout(), dict(fingerprint))
        building.rows.make()
        write_json(
            folder / _BUILDING,
            {"fingerprint": dict(fingerprint), "layout": asdict(building.layout)},
        )
        return building

    @classmethod
    def open(cls, folder: Path) -> FeatureBuilding:
        """What `begin` made, in another process.

        Raises:
            OSError: there is nothing.
            ValueError: `building.json` is no JSON; KeyError, TypeError: it has another form.
        """
        found = json.loads((folder / _BUILDING).read_text(encoding="utf-8"))
        counts = tuple(int(count) for count in found["layout"].pop("rows"))
        return cls(folder, FeatureLayout(rows=counts, **found["layout"]), found["fingerprint"])

    @property
    def rows(self) -> FeatureRows:
        """The file of features."""
        return FeatureRows(self.folder / _ROWS, self.layout)

    def finished(self) -> dict[int, PartNote]:
        """What the parts of finished shards say, by number of the shard."""
        notes = {s: read_note(part_path(self.folder, s)) for s in range(len(self.layout.rows))}
        return {shard: note for shard, note in notes.items() if note is not None and note.is_done}

    def finish_shard(self, shard: int, samples: SampleColumns, note: PartNote) -> None:
        """Note that all rows of a shard are written; from then on they are never made again."""
        # Features first: what the samples name must be there.
        sync(self.folder / _ROWS)
        write_part(part_path(self.folder, shard), samples, note)

    def account(self) -> LossLedger:
        """What became of the samples of all shards that have a part."""
        parts = [part_path(self.folder, shard) for shard in range(len(self.layout.rows))]
        return total_account(note for note in map(read_note, parts) if note is not None)

    def finish(self) -> None:
        """Make the complete files, the description last; `settle` puts them into place.

        Where samples were lost, their rows are left out: each row of the cache is a sample.

        Raises:
            DataError: there is no sample, a key comes twice, or the rows of a shard are not those
                that were written; that shard is computed anew the next time.
        """
        parts = [part_path(self.folder, shard) for shard in range(len(self.layout.rows))]
        notes = [_note_of(part) for part in parts]
        used = tuple(note.ledger.valid for note in notes)
        if sum(used) == 0:
            raise DataError("there is no sample to compute features of: is the source empty?")
        merge_parts(parts, self.folder / SAMPLES)
        features, samples = self.folder / FEATURES, self.folder / SAMPLES
        features.unlink(missing_ok=True)
        digests = [note.sha256 for note in notes]
        try:
            if used == self.layout.rows:
                sha256 = self.rows.check(used, digests)
            else:
                sha256 = self.rows.copy(features, used, digests)
        except OtherRowsError as error:
            parts[error.shard].unlink()
            raise DataError(f"{error}: start again to compute that shard anew") from error
        tight = replace(self.layout, rows=used)
        files = {
            FEATURES: {"bytes": tight.file_bytes, "sha256": sha256},
            SAMPLES: {"bytes": samples.stat().st_size, "sha256": sha256_of(samples)},
        }
        meta = {
            "schema_version": SCHEMA_VERSION,
            "complete": True,
            "count": tight.total,
            "views": tight.views,
            "feature_dim": tight.dim,
            "fingerprint": dict(self.fingerprint),
            "lost": dict(sorted(total_account(notes).by_kind.items())),
            "files": files,
        }
        write_json(self.folder / META, meta)


def is_complete(folder: Path, fingerprint: Mapping[str, str]) -> bool:
    """Whether the folder has all files of these features, and is only to be put into place."""
    try:
        return dict(read_meta(folder)["fingerprint"]) == dict(fingerprint)
    except DataError:
        return False


def settle(folder: Path, target: Path) -> None:
    """Rename a complete folder to its place, without what only the computation needed."""
    if not (folder / FEATURES).exists():
        (folder / _ROWS).rename(folder / FEATURES)
    for path in folder.iterdir():
        if path.name not in (META, FEATURES, SAMPLES, _LOCK):
            path.unlink()
    sync(folder)
    folder.rename(target)
    # Only now, so that no other run takes the folder for its own.
    (target / _LOCK).unlink(missing_ok=True)
    sync(target.parent)


@contextmanager
def only_process(folder: Path) -> Generator[None]:
    """Wait until no other run computes the features of this folder; nobody else until the end."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("wb") as stream:
        # Some network file systems have no locks, and can be used all the same. A lock of this
        # kind (unlike flock's) is not held on by loader workers that outlive a killed process.
        with suppress(OSError):
            fcntl.lockf(stream, fcntl.LOCK_EX)
        yield


def total_account(notes: Iterable[PartNote]) -> LossLedger:
    """What became of all samples of the shards of these notes."""
    total = LossLedger()
    for note in notes:
        total = total.merge(note.ledger)
    return total


def _note_of(part: Path) -> PartNote:
    note = read_note(part)
    if note is None:
        raise DataError(f"{part} is missing or cannot be read: start again to compute that shard")
    return note
