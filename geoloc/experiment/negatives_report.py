"""NegativesReporter: after each refit, files and a page on what the rule calls false and hard."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from geoloc.artifacts import write_atomically
from geoloc.experiment.negatives_files import Flags, NegativesFiles, finite
from geoloc.geostatistics.files import variogram_tree
from geoloc.negatives.diagnosis import diagnose, judge_pairs
from geoloc.negatives.expectation import ExpectedSemivariance
from geoloc.negatives.flag_ledger import FlaggedPair, extreme_pairs, flag_churn
from geoloc.negatives.flag_zone import KINDS, FlagKind, flag_zones
from geoloc.negatives.rules import NegativeRule
from geoloc.training.telemetry import PictureSink, ScalarSink
from geoloc.viz.negatives_epochs import NegativesEpoch
from geoloc.viz.negatives_figure import negatives_figure_png
from geoloc.viz.negatives_report import LedgerEntry, PairedPlace, write_negatives_page

_NAMES = ("city", "region", "country")

Thumbnails: TypeAlias = Callable[[Sequence[str]], Mapping[str, bytes]]
"""JPEGs of samples by key, of those that can be had; `thumbnails` makes them from shards."""

Ledger: TypeAlias = Mapping[FlagKind, Sequence[FlaggedPair]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeldOutSample:
    """Training samples that the semivariogram is never fitted to; the same ones each epoch.

    Attributes:
        key: of each sample.
        latlon_deg: clean places, degrees.
        feature: of this epoch, as the fit has them.
        label: what the data set says of each; may be empty.
    """

    key: tuple[str, ...]
    latlon_deg: Float64[np.ndarray, "n 2"]
    feature: Float[Tensor, "n feature"]
    label: tuple[Mapping[str, Any], ...] = ()

    def place(self, row: int, thumbnail: bytes | None = None) -> PairedPlace:
        """One sample, as the ledger shows it."""
        label = self.label[row] if self.label else {}
        lat, lon = (float(angle) for angle in self.latlon_deg[row])
        return PairedPlace(
            key=self.key[row],
            latlon_deg=(lat, lon),
            name=", ".join(str(label[name]) for name in _NAMES if label.get(name)),
            thumbnail=thumbnail,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodCost:
    """What embedding, refit and mining cost, and the time of the epoch that they are part of."""

    refit_s: float
    epoch_s: float

    @property
    def share(self) -> float:
        """Of the epoch's time; NaN where that is not known (0)."""
        return self.refit_s / self.epoch_s if self.epoch_s > 0 else math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochFindings:
    """What an epoch's diagnosis gives to sinks: numbers by name, and the picture."""

    scalars: Mapping[str, float]
    picture_png: bytes

    def send(self, step: int, sinks: Sequence[ScalarSink]) -> None:
        """Write the numbers to all sinks, the picture to those that take pictures."""
        for sink in sinks:
            sink.write(step, self.scalars)
            if isinstance(sink, PictureSink):
                sink.write_picture(step, "negatives/variogram", self.picture_png)


class NegativesReporter:
    """Keeps a folder on what a rule does, epoch after epoch.

    ``epoch-003.json`` (semivariogram, fit, diagnosis, churn, cost, ledger), ``variogram.png`` and
    ``report.html``, both rewritten each epoch, and the flags of the last epochs, for the churn of
    the next. A resumed run goes on with the epochs that lie there; those that it does again
    replace what was written of them.

    Args:
        folder: for the files: ``negatives`` in the folder of the run.
        rule: the verdict that training uses.
        name: of the rule.
        seed: of the choice of pairs.
        thumbnails: images of samples by key; None where there are none to be had.

    Raises:
        DataError: a file of an earlier epoch is damaged.
    """

    def __init__(
        self,
        folder: Path,
        rule: NegativeRule,
        *,
        name: str,
        seed: int,
        thumbnails: Thumbnails | None = None,
    ) -> None:
        self._files = NegativesFiles(folder)
        self._rule = rule
        self._name = name
        self._seed = seed
        self._thumbnails = thumbnails
        self._pictures: dict[str, bytes] = {}
        self._history = self._files.history()

    @torch.no_grad()
    def epoch_done(
        self,
        epoch: int,
        expectation: ExpectedSemivariance,
        sample: HeldOutSample,
        *,
        cost: MethodCost | None = None,
    ) -> EpochFindings:
        """Diagnose the epoch's expectation and write everything anew; on one rank only.

        Args:
            epoch: counted from 0.
            expectation: just fitted.
            sample: held out of the fit.
            cost: of the refit and the mining, if known.

        Raises:
            DataError: fewer than two samples, or a damaged file of the epoch before.
            OSError: the folder cannot be written.
        """
        start = time.perf_counter()
        again = [each.epoch for each in self._history if each.epoch >= epoch]
        self._files.forget(again)
        self._history = [each for each in self._history if each.epoch < epoch]
        pairs = judge_pairs(
            sample.latlon_deg, sample.feature, expectation, self._rule, seed=self._seed
        )
        zones = flag_zones(expectation, self._rule)
        flags: Flags = {kind: pairs.flagged(kind).cpu().numpy() for kind in KINDS}
        last = self._history[-1].epoch if self._history else epoch
        judged = [sample.key[row] for row in (*pairs.anchor.tolist(), *pairs.candidate.tolist())]
        before = self._files.read_flags(last, judged)
        now = NegativesEpoch(
            epoch=epoch,
            fit=expectation.fit,
            diagnosis=diagnose(pairs, zones),
            churn=None if before is None else flag_churn(before, flags),
            cost_share=None if cost is None else cost.share,
        )
        ledger: Ledger = {kind: extreme_pairs(pairs, kind) for kind in KINDS}
        self._history.append(now)
        self._files.write_flags(epoch, flags, judged)
        self._files.write_epoch(
            now,
            {
                "rule": self._name,
                "cost": None if cost is None else asdict(cost),
                "ledger": {kind: [_tree(pair, sample) for pair in ledger[kind]] for kind in KINDS},
                "variogram": variogram_tree(expectation.variogram),
            },
        )
        variogram = expectation.variogram
        png = negatives_figure_png(self._history, variogram, zones, rule=self._name)
        self._show(ledger, sample, png)
        seconds = {"negatives/report_s": time.perf_counter() - start}
        return EpochFindings(scalars={**_scalars(now), **seconds}, picture_png=png)

    def _show(
        self,
        ledger: Ledger,
        sample: HeldOutSample,
        png: bytes,
    ) -> None:
        """Picture and page."""
        rows = {row for pairs in ledger.values() for p in pairs for row in (p.query, p.candidate)}
        keys = {sample.key[row] for row in rows}
        # Extreme pairs are often those of the epoch before: their images are at hand.
        pictures = {key: self._pictures[key] for key in keys & self._pictures.keys()}
        if self._thumbnails is not None and (missing := sorted(keys - pictures.keys())):
            pictures |= self._thumbnails(missing)
        self._pictures = pictures

        def shown(pair: FlaggedPair) -> LedgerEntry:
            query, candidate = (
                sample.place(row, pictures.get(sample.key[row]))
                for row in (pair.query, pair.candidate)
            )
            return LedgerEntry(pair=pair, query=query, candidate=candidate)

        folder = self._files.folder
        write_atomically(folder / "variogram.png", lambda path: path.write_bytes(png))
        write_negatives_page(
            folder / "report.html",
            self._history,
            {kind: [shown(pair) for pair in pairs] for kind, pairs in ledger.items()},
            figure_png=png,
            rule=self._name,
        )


def _scalars(now: NegativesEpoch) -> dict[str, float]:
    """The epoch's numbers for curves; NaN for what is not known."""
    nan, flags, churn = math.nan, now.diagnosis, now.churn
    return {
        "negatives/effective_range_km": now.fit.effective_range if now.fit.has_structure else nan,
        "negatives/sill": now.fit.sill,
        "negatives/nugget": now.fit.nugget,
        "negatives/share_false": float(flags.share_false[-1]),
        "negatives/share_hard": float(flags.share_hard[-1]),
        "negatives/nominal_false": float(flags.nominal_false[-1]),
        "negatives/nominal_hard": float(flags.nominal_hard[-1]),
        "negatives/mean_weight": float(flags.mean_weight[-1]),
        "negatives/churn_false": nan if churn is None else churn.false,
        "negatives/churn_hard": nan if churn is None else churn.hard,
        "negatives/cost_share": nan if now.cost_share is None else now.cost_share,
    }


def _tree(pair: FlaggedPair, sample: HeldOutSample) -> dict[str, Any]:
    """A pair of the ledger as JSON can hold it, with keys and places instead of row numbers."""
    sides = {"query": pair.query, "candidate": pair.candidate}
    places = {side: sample.place(row) for side, row in sides.items()}
    return {
        **{
            side: {"key": each.key, "latlon_deg": list(each.latlon_deg), "name": each.name}
            for side, each in places.items()
        },
        **{
            name: finite(getattr(pair, name))
            for name in ("lag_km", "observed", "expected", "score")
        },
    }
