"""ReservoirSampler: batches of a stream, recomposed in a reservoir so that hard negatives meet.

The form for streams: samples cannot be fetched at will, only held back for a while.
`sampler.py` has the form for samples that can be read by row.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import KW_ONLY, asdict, dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from geoloc.batch import GeoBatch
from geoloc.errors import ConfigError, MismatchError
from geoloc.negatives.bank import BankRows, FeatureBank
from geoloc.negatives.expectation import EpochExpectation, ExpectedSemivariance
from geoloc.negatives.held_batches import BatchSource, HeldBatches
from geoloc.negatives.mining import MiningSettings
from geoloc.negatives.refit import LEAST_SAMPLES, RefitSettings, fit_expectation, split_for_fit
from geoloc.negatives.residents import Composer, Residents
from geoloc.negatives.store import RefitReport
from geoloc.ranks import Ranks

_FEWEST_IN_BANK = 2 * LEAST_SAMPLES


@dataclass(slots=True)
class ReservoirSampler:
    """The samples of a stream in as many batches of the same sizes, with hard negatives together.

    Some batches of the stream are held in a reservoir. For each batch that comes in one goes out:
    of the samples that have waited longest, and with them, up to a share of the batch, hard
    negatives of theirs among those who wait. How alike two samples are is told by the bank, by what
    they looked like in the epoch before; both have not yet been seen in this one, so what a step
    puts into the bank never changes what is still to be composed. Every sample goes out exactly
    once; towards the end of the epoch the reservoir empties.

    Random access picks the hardest partners of the whole split, a reservoir those among whom a
    sample waits: with n samples and m of them waiting, one of an anchor's k nearest of all is there
    with probability 1 - (1 - m / n)^k. So many different partners will do (64 neighbours, not the
    four hardest), and the number of hard pairs in a batch comes close to that of random access, as
    `benchmarks/stream_negatives.py` measures, though the very hardest pairs meet less often.

    At the start of an epoch where a fit is due, the semivariogram is fitted to some of the bank's
    rows and published in `expectation`; with several processes after they have shared their banks.
    Who trains must `put` each batch's features into the bank after its step. In the first epoch,
    and with `hard_share` 0, the order is that of the stream (save for samples of one place).

    The state of a pass holds the source's position before the oldest batch of which a sample still
    waits, and who of each batch since then has gone out: a resumed pass reads only these again.

    Args:
        source: the training split, this process's part of it.
        bank: what samples looked like; part of `tensor_state`.
        expectation: where the fit is published.
        reservoir_batches: so many batches are there to choose from. In memory are the pixels of
            those, at most divided by 1 - hard_share, as a batch is held until its last sample goes.
        hard_share: share of a batch that may be brought along.
        same_place_km: samples this near one another are kept out of one batch where possible; no
            sample waits for that longer than four times the reservoir.
        refit: when and to how much.
        mining: which pairs are hard.
        seed: of the choice of samples to fit.
        device: where features are compared.
        ranks: the processes of the run.
        on_refit: called after each fit.

    Raises:
        ConfigError: numbers are impossible.
    """

    source: BatchSource
    bank: FeatureBank
    expectation: EpochExpectation
    _: KW_ONLY
    reservoir_batches: int = 8
    hard_share: float = 0.25
    same_place_km: float = 0.0
    refit: RefitSettings = field(default_factory=RefitSettings)
    mining: MiningSettings = field(default_factory=MiningSettings)
    seed: int = 0
    device: str = "cpu"
    ranks: Ranks = field(default_factory=Ranks)
    on_refit: Callable[[RefitReport], None] | None = None
    _epoch: int = field(default=0, init=False)
    _judges: bool = field(default=False, init=False)
    _held: HeldBatches | None = field(default=None, init=False)
    _resume: Mapping[str, Any] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.reservoir_batches < 1 or not 0.0 <= self.hard_share < 1.0:
            raise ConfigError(
                f"a reservoir of {self.reservoir_batches} batches with hard_share "
                f"{self.hard_share} cannot be composed of"
            )

    @property
    def steps_per_epoch(self) -> int | None:
        """Batches in one pass: those of the source."""
        return self.source.steps_per_epoch

    def epoch(self, epoch: int) -> Iterator[GeoBatch]:
        """One pass, beginning with a fit where one is due; after `restore` the rest of the pass.

        Raises:
            MismatchError: the restored position is inside another epoch, or the source does not
                give again what it gave before.
        """
        state, self._resume = self._resume, None
        inside = state is not None and not state["held"]["finished"]
        if inside and epoch != self._epoch:
            raise MismatchError(f"the position is inside epoch {self._epoch}, not epoch {epoch}")
        if state is not None and epoch == self._epoch:
            self._judges = bool(state["judges"])
            self._held = HeldBatches.restored(state["held"])
            position = state["held"]["position"]
            if position is not None:
                self.source.restore(position)
        else:
            position = None
            self._epoch = epoch
            self._begin(epoch)
            self._held = HeldBatches()
        return self._pass(self._held, position)

    def _begin(self, epoch: int) -> None:
        """Share the banks and fit, where that is due."""
        self.bank.share(self.ranks)
        missed = epoch >= self.refit.warmup_epochs and self.expectation.current is None
        if (missed or self.refit.is_due(epoch)) and len(self.bank) >= _FEWEST_IN_BANK:
            self._refit(epoch)
        current = self.expectation.current
        fitted = current is not None and current.has_structure
        self._judges = fitted and self.hard_share > 0 and len(self.bank) > 0

    def _refit(self, epoch: int) -> None:
        began = time.perf_counter()
        held = self.bank.rows()
        # By key, so that a fit does not depend on which process saw a sample first.
        by_key = np.array(sorted(range(len(held.key)), key=held.key.__getitem__))
        split = split_for_fit(len(held.key), self.refit, seed=self.seed, epoch=epoch)
        others, held_out = (by_key[rows] for rows in split)
        others = others[: self.refit.samples]
        self.expectation.current = fit_expectation(
            held.latlon_deg[others],
            self._features(held, others),
            self.refit,
            seed=epoch,
            device=self.device,
            ranks=self.ranks,
        )
        if self.on_refit is not None:
            seconds = time.perf_counter() - began
            seen = GeoBatch(
                key=tuple(held.key[row] for row in held_out.tolist()),
                latlon_deg=torch.from_numpy(held.latlon_deg[held_out]),
                feature=self._features(held, held_out),
            )
            current = self.expectation.current
            self.on_refit(
                RefitReport(epoch=epoch, expectation=current, held_out=seen, seconds=seconds)
            )

    def _features(
        self, held: BankRows, rows: Int64[np.ndarray, " row"]
    ) -> Float[Tensor, "row feature"]:
        return held.feature[torch.from_numpy(rows)].float().to(self.device)

    def _pass(self, held: HeldBatches, position: dict[str, Any] | None) -> Iterator[GeoBatch]:
        composer = Composer(
            share=self.hard_share, same_place_km=self.same_place_km, mining=self.mining
        )
        expectation = self.expectation.current if self._judges else None
        incoming = self._incoming(held, position)
        residents = _nobody(self.device)
        try:
            while True:
                while held.waiting < self.reservoir_batches and not held.exhausted:
                    for newcomers in islice(incoming, 1):
                        residents = residents.joined_by(newcomers)
                if not held.waiting:
                    return
                chosen = composer.compose(
                    residents,
                    held.next_size,
                    expectation=expectation,
                    overdue=held.given - 3 * self.reservoir_batches,
                )
                batch = held.give(residents.number[chosen], residents.row[chosen])
                staying = np.ones(len(residents), dtype=np.bool_)
                staying[chosen] = False
                residents = residents.kept(staying)
                yield batch
        finally:
            incoming.close()

    def _incoming(
        self, held: HeldBatches, position: dict[str, Any] | None
    ) -> Generator[Residents, None, None]:
        """The samples of each batch of the source that have not gone out yet."""
        batches = self.source.epoch(self._epoch)
        try:
            for batch in batches:
                number, gone = held.take(batch, position)
                yield self._residents(batch, number).kept(~gone)
                position = self.source.state()
            held.exhausted = True
        finally:
            # A stream left before its end has worker processes to stop.
            if isinstance(batches, Generator):
                batches.close()

    def _residents(self, batch: GeoBatch, number: int) -> Residents:
        feature = torch.empty((len(batch), 0))
        if self._judges:
            feature = functional.normalize(self.bank.lookup(batch.key), dim=1)
        return Residents(
            number=np.full(len(batch), number, dtype=np.int64),
            row=np.arange(len(batch), dtype=np.int64),
            latlon_deg=batch.latlon_deg.to("cpu", torch.float64).numpy(),
            feature=feature.to(self.device),
        )

    def state(self) -> dict[str, Any]:
        """The position after the batch given last, for `json`; the bank is in `tensor_state`."""
        if self._resume is not None:
            return dict(self._resume)
        now = self.source.state()
        return {
            "epoch": self._epoch,
            "judges": self._judges,
            "held": HeldBatches().state(now) if self._held is None else self._held.state(now),
            **self._identity(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Let the next `epoch` go on after the position of `state`; bank and fit come first.

        Raises:
            MismatchError: the position is of another reservoir.
        """
        for name, value in self._identity().items():
            if state.get(name) != value:
                raise MismatchError(
                    f"the position is in a reservoir with {name} {state.get(name)}, here it is "
                    f"{value}"
                )
        self._epoch, self._resume = int(state["epoch"]), state

    def tensor_state(self) -> dict[str, Tensor]:
        """The bank and the fit, for a checkpoint."""
        current = self.expectation.current
        fit = {} if current is None else current.state_dict()
        parts = {"bank": self.bank.state_dict(), "fit": fit}
        return {f"{part}.{name}": v for part, state in parts.items() for name, v in state.items()}

    def load_tensor_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `tensor_state` gave.

        Raises:
            CheckpointError: it holds no bank, or one of another kind.
        """
        bank, fit = (
            {k.removeprefix(part): v for k, v in state.items() if k.startswith(part)}
            for part in ("bank.", "fit.")
        )
        self.bank.load_state_dict(bank)
        self.expectation.current = (
            ExpectedSemivariance.from_state(fit, device=self.device) if fit else None
        )

    def _identity(self) -> dict[str, Any]:
        """What the composition depends on besides bank, fit and source."""
        return {
            "reservoir_batches": self.reservoir_batches,
            "hard_share": self.hard_share,
            "same_place_km": self.same_place_km,
            "mining": asdict(self.mining),
        }


def _nobody(device: str) -> Residents:
    none = np.empty(0, dtype=np.int64)
    return Residents(
        number=none,
        row=none,
        latlon_deg=np.empty((0, 2)),
        feature=torch.empty((0, 0), device=device),
    )
