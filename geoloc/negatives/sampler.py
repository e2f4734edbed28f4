"""SemivariogramSampler: each epoch fits the semivariogram anew and composes batches by it.

The random-access form: it wraps samples that can be read by row (a feature cache, indexed pixels).
`reservoir.py` has the form for streams.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from geoloc.batch import GeoBatch
from geoloc.errors import CheckpointError, ConfigError, MismatchError
from geoloc.negatives.bank import FeatureBank
from geoloc.negatives.composition import compose_batches
from geoloc.negatives.expectation import EpochExpectation, ExpectedSemivariance
from geoloc.negatives.mining import MiningSettings, mine_hard_negatives
from geoloc.negatives.refit import RefitSettings, fit_expectation, split_for_fit
from geoloc.negatives.store import Embed, RefitReport, SampleStore
from geoloc.ranks import Ranks

_EMBEDDED_AT_ONCE = 1024


@dataclass(slots=True)
class SemivariogramSampler:
    """Batches of a training split, each epoch composed by a semivariogram fitted at its start.

    At the start of an epoch where a fit is due, samples are embedded, the semivariogram is fitted
    to some of them and published in `expectation`; hard negatives are mined and put into the
    batches of their anchors. Every sample comes once an epoch, in an order that (seed, epoch) and
    the features determine; the last batch may be short. Of several processes every one composes the
    same global batches and takes its own part of each; samples are disjoint.

    Fit and order are part of `tensor_state`, so that a resumed epoch goes on with what it began.

    Args:
        store: the training split, and nothing else: what is fitted to other splits would leak.
        batch_size: samples a batch and process.
        embed: features of a batch, without gradient, in evaluation mode.
        expectation: where the fit is published.
        refit: when and to how much.
        mining: which pairs are hard.
        hard_share: share of a batch that hard negatives of its anchors may take; 0 mines nothing.
        same_place_km: samples this near one another are kept out of one batch where possible.
        seed: of all chance.
        device: where features are compared.
        ranks: the processes of the run.
        on_refit: called after each fit.
        bank: what `embed` looks features up in, if it does: kept in `tensor_state`.

    Raises:
        ConfigError: sizes or shares are impossible.
    """

    store: SampleStore
    batch_size: int
    embed: Embed
    expectation: EpochExpectation
    _: KW_ONLY
    refit: RefitSettings = field(default_factory=RefitSettings)
    mining: MiningSettings = field(default_factory=MiningSettings)
    hard_share: float = 0.0
    same_place_km: float = 0.0
    seed: int = 0
    device: str = "cpu"
    ranks: Ranks = field(default_factory=Ranks)
    on_refit: Callable[[RefitReport], None] | None = None
    bank: FeatureBank | None = None
    _epoch: int = field(default=0, init=False)
    _done: int = field(default=0, init=False)
    _order: Int64[np.ndarray, " sample"] = field(
        default_factory=lambda: np.empty(0, dtype=np.int64), init=False
    )
    _resume: int | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.batch_size < 1 or not 0.0 <= self.hard_share < 1.0:
            raise ConfigError(
                f"batches of {self.batch_size} with hard_share {self.hard_share} cannot be composed"
            )

    @property
    def sample_count(self) -> int:
        """Samples in one epoch, over all processes."""
        return len(self.store)

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one epoch, the same number on every process."""
        return max(1, -(-len(self.store) // (self.batch_size * self.ranks.size)))

    def epoch(self, epoch: int) -> Iterator[GeoBatch]:
        """One pass, beginning with a fit where one is due; after `restore` the rest of the pass.

        Raises:
            MismatchError: the restored position is of another epoch.
        """
        start, self._resume = self._resume, None
        if start is not None and epoch != self._epoch:
            raise MismatchError(f"the position is of epoch {self._epoch}, not of epoch {epoch}")
        if start is None:
            self._epoch, self._done = epoch, 0
            self._order = self._begin(epoch)
        return self._pass(start or 0)

    def _begin(self, epoch: int) -> Int64[np.ndarray, " sample"]:
        """Fit and mine where it is due; the order of the epoch's samples."""
        hard = np.empty((len(self.store), 0), dtype=np.int64)
        if self.bank is not None:
            self.bank.share(self.ranks)
        if self.refit.is_due(epoch):
            hard = self._refit(epoch)
        batches = compose_batches(
            hard,
            self.store.latlon_deg,
            batch_size=self.batch_size * self.ranks.size,
            share=self.hard_share if hard.shape[1] else 0.0,
            same_place_km=self.same_place_km,
            seed=self.seed,
            epoch=epoch,
        )
        return np.concatenate(batches) if batches else np.empty(0, dtype=np.int64)

    def _refit(self, epoch: int) -> Int64[np.ndarray, "sample per_anchor"]:
        began = time.perf_counter()
        others, held_out = split_for_fit(len(self.store), self.refit, seed=self.seed, epoch=epoch)
        fitted = min(self.refit.samples, len(others))
        # Hard negatives are sought among all samples, a fit needs no more than it is made from.
        rows = np.concatenate([others if self.hard_share else others[:fitted], held_out])
        feature = self._features(rows)
        expectation = fit_expectation(
            self.store.latlon_deg[rows[:fitted]],
            feature[:fitted],
            self.refit,
            seed=epoch,
            device=self.device,
            ranks=self.ranks,
        )
        self.expectation.current = expectation
        hard = np.empty((len(self.store), 0), dtype=np.int64)
        if self.hard_share:
            hard = self._mine(rows, feature, expectation, epoch)
        if self.on_refit is not None:
            seconds = time.perf_counter() - began
            seen = replace(self.store.batch(held_out), feature=feature[len(rows) - len(held_out) :])
            self.on_refit(
                RefitReport(epoch=epoch, expectation=expectation, held_out=seen, seconds=seconds)
            )
        return hard

    @torch.no_grad()
    def _features(self, rows: Int64[np.ndarray, " row"]) -> Float[Tensor, "row feature"]:
        """Features of some rows, on the device; each process embeds its part."""
        mine = np.array_split(rows, self.ranks.size)[self.ranks.rank]
        parts = [
            self.embed(self.store.batch(mine[at : at + _EMBEDDED_AT_ONCE], labels=False))
            for at in range(0, len(mine), _EMBEDDED_AT_ONCE)
        ]
        own = torch.cat([part.detach().float() for part in parts]).to(self.device)
        return self.ranks.gathered(own, self.ranks.counts(len(own)))

    def _mine(
        self,
        rows: Int64[np.ndarray, " row"],
        feature: Float[Tensor, "row feature"],
        expectation: ExpectedSemivariance,
        epoch: int,
    ) -> Int64[np.ndarray, "sample per_anchor"]:
        found = mine_hard_negatives(
            self.store.latlon_deg[rows],
            feature,
            expectation,
            self.mining,
            seed=epoch,
            device=self.device,
        )
        found = self.ranks.sent(torch.from_numpy(found)).numpy()
        hard = np.full((len(self.store), found.shape[1]), -1, dtype=np.int64)
        hard[rows] = np.where(found >= 0, rows[found], -1)
        return hard

    def _pass(self, start: int) -> Iterator[GeoBatch]:
        together = self.batch_size * self.ranks.size
        self._done = start
        for first in range(start * together, len(self._order), together):
            rows = self._order[first : first + together]
            self._done += 1
            mine = np.array_split(rows, self.ranks.size)[self.ranks.rank]
            yield self.store.batch(mine, labels=False, drawn=(self.seed, self._epoch))

    def state(self) -> dict[str, Any]:
        """The position after the batch given last."""
        return {"epoch": self._epoch, "batches_done": self._done, **self._identity()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Let the next `epoch` go on after the position of `state`.

        The order itself comes by `load_tensor_state`.

        Raises:
            MismatchError: the position is of batches of another size, order or number.
        """
        for name, value in self._identity().items():
            if state.get(name) != value:
                raise MismatchError(
                    f"the position is of batches with {name} {state.get(name)}, these have {value}"
                )
        self._epoch, self._done = int(state["epoch"]), int(state["batches_done"])
        self._resume = self._done

    def tensor_state(self) -> dict[str, Tensor]:
        """The order of the epoch and the fit, for a checkpoint."""
        current = self.expectation.current
        fit = {} if current is None else current.state_dict()
        bank = {} if self.bank is None else self.bank.state_dict()
        return {
            "order": torch.from_numpy(self._order.copy()),
            **{f"fit.{name}": value for name, value in fit.items()},
            **{f"bank.{name}": value for name, value in bank.items()},
        }

    def load_tensor_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `tensor_state` gave.

        Raises:
            CheckpointError: it is of another number of samples, or holds no order.
        """
        order = state.get("order")
        if order is None or len(order) not in (0, len(self.store)):
            raise CheckpointError("the checkpoint holds no order of these training samples")
        if self.bank is not None:
            self.bank.load_state_dict(
                {k.removeprefix("bank."): v for k, v in state.items() if k.startswith("bank.")}
            )
        self._order = order.cpu().numpy().astype(np.int64)
        fit = {k.removeprefix("fit."): v for k, v in state.items() if k.startswith("fit.")}
        self.expectation.current = (
            ExpectedSemivariance.from_state(fit, device=self.device) if fit else None
        )

    def _identity(self) -> dict[str, Any]:
        return {
            "samples": len(self.store),
            "batch_size": self.batch_size,
            "seed": self.seed,
            "hard_share": self.hard_share,
            "rank": self.ranks.rank,
            "world": self.ranks.size,
        }
