"""NegativesFiles: what is kept of each epoch's flags, so that a resumed run goes on with it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from geoloc.artifacts import read_json, write_atomically, write_json
from geoloc.errors import DataError
from geoloc.geostatistics.variogram_fit import VariogramFit
from geoloc.negatives.diagnosis import FlagDiagnosis
from geoloc.negatives.flag_ledger import FlagChurn
from geoloc.negatives.flag_zone import KINDS, FlagKind
from geoloc.viz.negatives_epochs import NegativesEpoch

SCHEMA_VERSION = 1
_KIND = "negatives_epoch"
_FLAGS_KEPT = 3

Flags: TypeAlias = Mapping[FlagKind, Bool[np.ndarray, "query candidate"]]


class NegativesFiles:
    """``epoch-003.json`` for each epoch; ``flags-003.safetensors``, the flags, for the last few.

    Args:
        folder: where they lie; made when something is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def history(self) -> list[NegativesEpoch]:
        """The epochs that lie there, oldest first.

        Raises:
            DataError: a file is damaged.
        """
        found = [_read_epoch(path) for path in self.folder.glob("epoch-*.json")]
        return sorted(found, key=lambda each: each.epoch)

    def write_epoch(self, now: NegativesEpoch, more: Mapping[str, Any]) -> Path:
        """Write one epoch, with whatever else is to be kept of it."""
        churn = now.churn
        path = self._path(now.epoch)
        content = {
            "schema_version": SCHEMA_VERSION,
            "kind": _KIND,
            "epoch": now.epoch,
            "fit": now.fit.to_json(),
            "diagnosis": now.diagnosis.to_json(),
            "churn": None if churn is None else asdict(churn),
            "cost_share": finite(now.cost_share),
            **more,
        }
        write_json(path, content)
        return path

    def forget(self, epochs: Sequence[int]) -> None:
        """Remove what an earlier life of the run wrote of epochs that are done again."""
        for epoch in epochs:
            self._path(epoch).unlink(missing_ok=True)
            self._flags_path(epoch).unlink(missing_ok=True)

    def write_flags(self, epoch: int, flags: Flags, keys: Sequence[str]) -> None:
        """Write a bit a pair and kind; the oldest files go.

        Args:
            epoch: whose flags.
            flags: of the same pairs each epoch.
            keys: of the queries and the candidates, which say what pairs these are.
        """
        packed: dict[str, np.ndarray] = {
            kind: np.packbits(mask, axis=1) for kind, mask in flags.items()
        }
        packed["shape"] = np.array(flags["hard"].shape, dtype=np.int64)
        packed["keys"] = _digest(keys)
        write_atomically(self._flags_path(epoch), lambda path: save_file(packed, path))
        written = self.folder.glob("flags-*.safetensors")
        for path in sorted(written, key=lambda each: (len(each.name), each.name))[:-_FLAGS_KEPT]:
            path.unlink()

    def read_flags(self, epoch: int, keys: Sequence[str]) -> Flags | None:
        """The flags of an epoch; None where they are gone or were of other pairs.

        Raises:
            DataError: the file is damaged.
        """
        path = self._flags_path(epoch)
        if not path.is_file():
            return None
        try:
            packed = load_file(path)
            width = int(packed["shape"][1])
            flags: Flags = {
                kind: np.unpackbits(packed[kind], axis=1, count=width).astype(np.bool_)
                for kind in KINDS
            }
        except (SafetensorError, KeyError, IndexError, ValueError) as error:
            raise DataError(f"{path} is damaged ({error}): delete it") from error
        return flags if np.array_equal(packed["keys"], _digest(keys)) else None

    def _path(self, epoch: int) -> Path:
        return self.folder / f"epoch-{epoch:03d}.json"

    def _flags_path(self, epoch: int) -> Path:
        return self.folder / f"flags-{epoch:03d}.safetensors"


def finite(number: float | int | None) -> float | None:
    """The number as JSON can hold it: null for what is not known or has no end."""
    return float(number) if number is not None and math.isfinite(number) else None


def _digest(keys: Sequence[str]) -> np.ndarray:
    digest = hashlib.sha256("\n".join(keys).encode()).digest()
    return np.frombuffer(digest, dtype=np.uint8)


def _read_epoch(path: Path) -> NegativesEpoch:
    tree = read_json(path, what="report on negatives")
    if tree.get("kind") != _KIND or tree.get("schema_version") != SCHEMA_VERSION:
        raise DataError(f"{path} is no report on negatives of version {SCHEMA_VERSION}: delete it")
    try:
        churn = tree["churn"]
        return NegativesEpoch(
            epoch=int(tree["epoch"]),
            fit=VariogramFit.from_json(tree["fit"]),
            diagnosis=FlagDiagnosis.from_json(tree["diagnosis"]),
            churn=None if churn is None else FlagChurn(**churn),
            cost_share=tree["cost_share"],
        )
    except (DataError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is damaged ({error}): delete it") from error
