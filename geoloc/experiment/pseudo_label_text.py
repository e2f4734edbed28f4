"""What a run of pseudo-labels found, for the terminal."""

from __future__ import annotations

import math

from geoloc.experiment.pseudo_label_run import BOTH, FOREST, MEASURES, METHODS, PseudoLabelResult


def pseudo_label_terminal(result: PseudoLabelResult) -> str:
    """A line about the data, a line a method, and what pseudo-labels change."""
    told = result.told
    seeds = len(result.scores[BOTH][MEASURES[0]])
    lines = [
        f"{told['field']}: {told['stations']} stations, {told['unlabelled']} images without one, "
        f"{told['tested']} stations held out, {told['steps']} times, {seeds} seeds",
        "",
        f"{'method':33}{'RMSE':>24}{'Pearson':>26}{'spatial R':>26}",
    ]
    for method in METHODS:
        cells = [_cell(result.interval(method, measure)) for measure in MEASURES]
        lines.append(f"{method:33}{cells[0]:>24}{cells[1]:>26}{cells[2]:>26}")
    lines.append("")
    for method in (FOREST, BOTH):
        cells = [_cell(result.gain(measure, of=method), signed=True) for measure in MEASURES]
        name = f"pseudo-labels change {method}"
        lines.append(f"{name:38}{cells[0]:>24}{cells[1]:>26}{cells[2]:>26}")
    return "\n".join([*lines, "", f"mean and 95 % interval over seeds; written to {result.out}"])


def _cell(interval: tuple[float, float, float], *, signed: bool = False) -> str:
    mean, low, high = interval
    sign = "+" if signed else ""
    if math.isnan(low):
        return f"{mean:{sign}.3f}"
    return f"{mean:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"
