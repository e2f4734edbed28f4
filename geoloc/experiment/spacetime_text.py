"""What a space-time run found, for the terminal."""

from __future__ import annotations

from geoloc.experiment.spacetime_methods import FULL, KEPT, KRIGING, LIMIT, ONE, PLAIN, SEVERAL
from geoloc.experiment.spacetime_run import MethodRow, SpaceTimeResult

TITLES = {
    KRIGING: "kriging per step",
    KEPT: "kriging, kept to the bases",
    PLAIN: "plain network (place, time)",
    ONE: "EOF + one network",
    SEVERAL: "EOF + networks",
    FULL: "EOF + networks + kriging",
    LIMIT: "bases alone (limit)",
}
"""What each method is called."""


def space_time_terminal(result: SpaceTimeResult) -> str:
    """A few lines about the field, and a line a method."""
    told = result.told
    lines = [
        f"{told['field']}: {told['stations']} stations, {told['held_out']} places held out, "
        f"{told['steps']} steps",
        f"{told['components']} bases with {100 * told['variance_share']:.1f} % of the variance; "
        f"residuals kriged: {told['residuals']['kriged']}",
    ]
    gaps = told["gaps"]
    if gaps["rmse"] is not None:
        lines.append(
            f"{100 * gaps['share']:.0f} % of the stations' values missing or hidden, and filled by "
            f"{gaps['components']} patterns: RMSE {gaps['rmse']:.4g} {told['unit']}"
        )
    head = f"{'method':29}{'MAE':>9}{'RMSE':>9}{'R2':>8}{'signal RMSE':>13}"
    lines += ["", f"{head}{'flatness':>10}{'errors':>13}{'covered':>9}{'s':>7}"]
    lines += [_line(row) for row in result.rows]
    lines += [
        "",
        "flatness: semivariance of errors at short over long lags, 1 is pure noise; covered: by "
        f"{100 * told['level']:.0f} % intervals",
        f"written to {result.out}",
    ]
    return "\n".join(lines)


def _line(row: MethodRow) -> str:
    signal = "-" if row.signal_rmse is None else f"{row.signal_rmse:.4f}"
    covered = "-" if row.coverage is None else f"{100 * row.coverage:.1f} %"
    return (
        f"{TITLES[row.name]:29}{row.mae:9.4f}{row.rmse:9.4f}{row.r2:8.4f}{signal:>13}"
        f"{row.flatness:10.3f}{row.error_structure:>13}{covered:>9}{row.seconds:7.1f}"
    )
