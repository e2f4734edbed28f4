"""RefitDiary: what each refit found, told to the report of the run and to its sinks."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from geoloc.experiment.build import rule_settings
from geoloc.experiment.negatives_report import HeldOutSample, MethodCost, NegativesReporter
from geoloc.experiment.run_directory import RunDirectory
from geoloc.experiment.schema import ExperimentConfig
from geoloc.experiment.thumbnails import thumbnails
from geoloc.negatives import RefitReport, build_rule
from geoloc.training import ScalarSink


class RefitDiary:
    """Called by the sampler after each refit; the trainer's step and sinks are known only later.

    Args:
        config: of the run.
        run: its folder; the report goes to RUN/negatives.
    """

    def __init__(self, config: ExperimentConfig, run: RunDirectory) -> None:
        self._reporter = NegativesReporter(
            run.path / "negatives",
            build_rule(config.negatives.rule, rule_settings(config.negatives)),
            name=config.negatives.rule,
            seed=config.seed,
            thumbnails=partial(thumbnails, config.data.train),
        )
        self._sinks: Sequence[ScalarSink] = ()
        self._step: Callable[[], int] = lambda: 0
        self._before: float | None = None

    def tell(self, sinks: Sequence[ScalarSink], step: Callable[[], int]) -> None:
        """Where the numbers go from now on, and what says which step the run is at."""
        self._sinks, self._step = sinks, step

    def note(self, report: RefitReport) -> None:
        """Write the report of one refit, and send its numbers to the sinks.

        The epoch that the cost is a share of is the one before, from one refit to the next.
        """
        now = time.perf_counter()
        epoch_s = 0.0 if self._before is None else now - self._before
        self._before = now
        held_out = report.held_out
        assert held_out.feature is not None, "a refit compares features"
        found = self._reporter.epoch_done(
            report.epoch,
            report.expectation,
            HeldOutSample(
                key=held_out.key,
                latlon_deg=np.asarray(held_out.latlon_deg),
                feature=held_out.feature,
                label=held_out.label,
            ),
            cost=MethodCost(refit_s=report.seconds, epoch_s=epoch_s),
        )
        found.send(self._step(), self._sinks)
