"""PlaceQueue: the places (and if wanted the features) of recent batches, as extra negatives."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from geoloc.errors import CheckpointError, ConfigError


class PlaceQueue:
    """A ring of the last `capacity` places seen, each with the feature of its image if wanted.

    It starts empty and only filled slots are ever handed out: places that nobody has seen are no
    negatives. A batch that does not divide the capacity wraps around the end of the ring, and of a
    batch larger than the ring the last `capacity` places stay.

    Args:
        capacity: how many places are kept, at least 1.
        feature_dim: length of the features kept beside the places; None keeps places alone.
        device: where the ring lives.

    Raises:
        ConfigError: the capacity or the feature length is not positive.
    """

    def __init__(
        self,
        capacity: int,
        *,
        feature_dim: int | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        if capacity < 1:
            raise ConfigError(f"a queue of places holds at least 1 place, not {capacity}")
        if feature_dim is not None and feature_dim < 1:
            raise ConfigError(f"queued features have at least 1 number, not {feature_dim}")
        self._capacity = capacity
        self._cursor = 0
        self._filled = 0
        # Places are float64: float32 degrees are off by up to a metre, and lags are taken on them.
        self._column: dict[str, Tensor] = {
            "latlon_deg": torch.full((capacity, 2), torch.nan, dtype=torch.float64, device=device)
        }
        if feature_dim is not None:
            self._column["feature"] = torch.full((capacity, feature_dim), torch.nan, device=device)

    @property
    def capacity(self) -> int:
        """How many places the ring can hold."""
        return self._capacity

    def __len__(self) -> int:
        return self._filled

    def places(self) -> Float[Tensor, "filled 2"]:
        """A copy of the places in the filled slots, in the order of the slots, degrees."""
        return self._column["latlon_deg"][: self._filled].clone()

    def features(self) -> Float[Tensor, "filled feature"] | None:
        """A copy of the features beside `places()`; rows of NaN where none was given.

        None when the queue keeps places alone.
        """
        column = self._column.get("feature")
        return None if column is None else column[: self._filled].clone()

    @torch.no_grad()
    def push(
        self,
        latlon_deg: Float[Tensor, "batch 2"],
        feature: Float[Tensor, "batch feature"] | None = None,
    ) -> None:
        """Put the clean places of a batch over the oldest ones.

        A queue that keeps no features ignores `feature`; one that does stores NaN without it.
        """
        rows = {"latlon_deg": latlon_deg, "feature": feature}
        count = min(latlon_deg.shape[0], self._capacity)
        for name, column in self._column.items():
            new = rows[name]
            slot = (torch.arange(count, device=column.device) + self._cursor) % self._capacity
            if new is None:
                column[slot] = torch.nan
            else:
                column[slot] = new[new.shape[0] - count :].detach().to(column)
        self._cursor = (self._cursor + count) % self._capacity
        self._filled = min(self._filled + count, self._capacity)

    def state_dict(self) -> dict[str, Tensor]:
        """Everything that is needed to go on exactly: the columns and the two counters."""
        counters = torch.tensor([self._cursor, self._filled], dtype=torch.int64)
        return {name: value.clone() for name, value in self._column.items()} | {
            "cursor_filled": counters
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state_dict` gave.

        Raises:
            CheckpointError: the state is of a queue of another capacity or other columns.
        """
        wanted = {name: tuple(column.shape) for name, column in self._column.items()}
        found = {k: tuple(v.shape) for k, v in state.items() if k != "cursor_filled"}
        if wanted != found or "cursor_filled" not in state:
            raise CheckpointError(
                f"the saved queue has {found}, this one {wanted}: resume with the same queue size"
            )
        for name, column in self._column.items():
            column.copy_(state[name])
        self._cursor, self._filled = (int(x) for x in state["cursor_filled"].tolist())
