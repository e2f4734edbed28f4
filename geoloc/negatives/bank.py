"""FeatureBank: what each sample of a stream looked like when it was seen last, by key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64, UInt8
from torch import Tensor
from torch.nn import functional

from geoloc.errors import CheckpointError, ConfigError, DataError
from geoloc.ranks import Ranks

_LEAST_ROOM = 1024


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BankRows:
    """All samples of a bank in the order in which their keys came first; views, not copies.

    Attributes:
        key: of each sample.
        latlon_deg: clean places, degrees.
        feature: unit vectors, in the precision that the bank stores.
    """

    key: tuple[str, ...]
    latlon_deg: Float64[np.ndarray, "sample 2"]
    feature: Float[Tensor, "sample feature"]


class FeatureBank:
    """Features and places of samples by key; a key that comes again is overwritten.

    It lives in the memory of the host and grows as keys come. Features are stored as unit vectors:
    only their cosines are ever asked for, and numbers up to 1 are safe in float16. `put` does not
    wait for a device: rows stay there until some thousands have gathered, or one of them is wanted.

    Args:
        dtype: of the stored features; float16 is exact to 1e-3, at half the memory.
        gather: rows that may wait on the device.

    Raises:
        ConfigError: another dtype than float16 or float32, or a negative number of rows.
    """

    def __init__(self, *, dtype: torch.dtype = torch.float16, gather: int = 8192) -> None:
        if dtype not in (torch.float16, torch.float32) or gather < 0:
            raise ConfigError(f"a bank stores float16 or float32, not {dtype}; gathers {gather}")
        self._dtype = dtype
        self._gather = gather
        self._clear(feature_dim=0)

    def _clear(self, feature_dim: int) -> None:
        self._row_of: dict[str, int] = {}
        self._places = np.empty((0, 2), dtype=np.float64)
        self._features = torch.empty((0, feature_dim), dtype=self._dtype)
        # Rows put since processes last shared theirs, and how many rows they had in common then.
        self._changed = np.empty(0, dtype=np.bool_)
        self._shared = 0
        self._waiting: list[tuple[list[int], Tensor, Tensor]] = []
        self._waiting_rows: set[int] = set()

    def __len__(self) -> int:
        return len(self._row_of)

    @property
    def feature_dim(self) -> int:
        """Length of the features; 0 before the first came."""
        return self._features.shape[1]

    @torch.no_grad()
    def put(
        self,
        keys: Sequence[str],
        latlon_deg: Float[Tensor, "batch 2"],
        feature: Float[Tensor, "batch feature"],
    ) -> None:
        """Take note of samples; of a key that comes twice in one call the last counts.

        Args:
            keys: of the samples.
            latlon_deg: clean places, degrees.
            feature: any scale, any device.

        Raises:
            DataError: numbers of keys and rows differ, or features are of another length than the
                bank's.
        """
        if not len(keys) == len(latlon_deg) == len(feature):
            raise DataError(f"{len(keys)} keys for {len(latlon_deg)} places, {len(feature)} rows")
        unit = functional.normalize(feature.detach().float(), dim=1).to(self._dtype)
        # A copy, in case the caller goes on to write into it.
        self._note(keys, latlon_deg.detach().to(torch.float64, copy=True), unit)

    def _note(
        self,
        keys: Sequence[str],
        latlon_deg: Float64[Tensor, "batch 2"],
        feature: Float[Tensor, "batch feature"],
    ) -> None:
        if not len(self):
            self._clear(feature.shape[1])
        if feature.shape[1] != self.feature_dim:
            raise DataError(
                f"a bank of features of length {self.feature_dim} was given {feature.shape[1]}"
            )
        last = {key: at for at, key in enumerate(keys)}
        if len(last) < len(keys):
            kept = torch.tensor(list(last.values()), device=feature.device)
            latlon_deg, feature = latlon_deg[kept.to(latlon_deg.device)], feature[kept]
        rows = [self._row_of.setdefault(key, len(self._row_of)) for key in last]
        self._waiting.append((rows, latlon_deg, feature))
        self._waiting_rows.update(rows)
        if len(self._waiting_rows) >= self._gather:
            self._settle()

    def lookup(self, keys: Sequence[str]) -> Float[Tensor, "sample feature"]:
        """Unit features of these keys as float32 on the CPU, rows of NaN for unknown keys."""
        known = [(at, self._row_of[key]) for at, key in enumerate(keys) if key in self._row_of]
        found = torch.full((len(keys), self.feature_dim), torch.nan)
        if not known:
            return found
        at, row = zip(*known, strict=True)
        if not self._waiting_rows.isdisjoint(row):
            self._settle()
        found[list(at)] = self._features[list(row)].float()
        return found

    def rows(self) -> BankRows:
        """Everything that the bank holds."""
        self._settle()
        count = len(self)
        return BankRows(
            key=tuple(self._row_of),
            latlon_deg=self._places[:count],
            feature=self._features[:count],
        )

    def _settle(self) -> None:
        """Bring what waits on the device into the arrays, in one copy, in the order it came."""
        if not self._waiting:
            return
        self._make_room(len(self))
        row = np.concatenate([np.array(rows, dtype=np.int64) for rows, _, _ in self._waiting])
        place = torch.cat([place for _, place, _ in self._waiting]).cpu().numpy()
        feature = torch.cat([feature for _, _, feature in self._waiting]).cpu()
        if len(self._waiting_rows) < len(row):
            latest = np.array(list({r: at for at, r in enumerate(row.tolist())}.values()))
            row, place, feature = row[latest], place[latest], feature[torch.from_numpy(latest)]
        self._places[row] = place
        self._features[torch.from_numpy(row)] = feature
        self._changed[row] = True
        self._waiting, self._waiting_rows = [], set()

    def _make_room(self, count: int) -> None:
        """Arrays for `count` rows at least; doubled, so that growing costs little per row."""
        held = len(self._places)
        if count <= held:
            return
        room = max(count, 2 * held, _LEAST_ROOM)
        places, changed = np.empty((room, 2)), np.zeros(room, dtype=np.bool_)
        features = torch.empty((room, self.feature_dim), dtype=self._dtype)
        places[:held], changed[:held] = self._places, self._changed
        features[:held] = self._features
        self._places, self._changed, self._features = places, changed, features

    def share(self, ranks: Ranks) -> None:
        """Give every process what the others have put since the last call; alone, do nothing.

        Afterwards all hold the same rows in the same order. Of a key that several have put, the row
        of the last process counts.
        """
        if ranks.size == 1:
            return
        self._settle()
        changed = np.flatnonzero(self._changed[: len(self)])
        keys = tuple(self._row_of)
        own = (
            *_joined([keys[row] for row in changed.tolist()]),
            torch.from_numpy(self._places[changed]),
            self._features[torch.from_numpy(changed)],
        )
        self._row_of = dict(list(self._row_of.items())[: self._shared])
        for source in range(ranks.size):
            text, offset, place, feature = (ranks.sent(part, source) for part in own)
            if len(offset) > 1:
                self._note(_split(text, offset), place, feature)
        self._settle()
        self._changed[:] = False
        self._shared = len(self)

    def state_dict(self) -> dict[str, Tensor]:
        """Everything as tensors; keys as their joined bytes and the offset of each."""
        held = self.rows()
        text, offset = _joined(held.key)
        return {
            "key_text": text,
            "key_offset": offset,
            "latlon_deg": torch.from_numpy(held.latlon_deg.copy()),
            "feature": held.feature.clone(),
            "changed": torch.from_numpy(self._changed[: len(self)].copy()),
            "shared": torch.tensor([self._shared]),
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state_dict` gave, in place of what is held.

        Raises:
            CheckpointError: the state is of another kind, or stored in another precision.
        """
        names = ("key_text", "key_offset", "latlon_deg", "feature", "changed", "shared")
        if any(name not in state for name in names):
            raise CheckpointError("the saved state holds no bank of features")
        if state["feature"].dtype != self._dtype:
            raise CheckpointError(
                f"the saved bank stores {state['feature'].dtype}, this one {self._dtype}"
            )
        text, offset, place, feature, changed, shared = (state[name].cpu() for name in names)
        keys = _split(text, offset)
        if not len(keys) == len(place) == len(feature) == len(changed):
            raise CheckpointError("the saved bank is damaged: its columns differ in length")
        self._clear(feature.shape[1])
        self._row_of = {key: row for row, key in enumerate(keys)}
        self._places, self._features = place.numpy().copy(), feature.clone()
        self._changed, self._shared = changed.numpy().copy(), int(shared[0])


def _joined(keys: Sequence[str]) -> tuple[UInt8[Tensor, " byte"], Int64[Tensor, " edge"]]:
    """Keys as the bytes of all of them and the places where each begins and the last ends."""
    encoded = [key.encode() for key in keys]
    offset = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    text = np.frombuffer(bytearray(b"".join(encoded)), dtype=np.uint8)
    return torch.from_numpy(text), torch.from_numpy(offset)


def _split(text: UInt8[Tensor, " byte"], offset: Int64[Tensor, " edge"]) -> list[str]:
    whole, edge = text.numpy().tobytes(), offset.tolist()
    return [whole[start:end].decode() for start, end in pairwise(edge)]
