"""Curves over epochs of what a semivariogram makes of negatives."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from geoloc.geostatistics.variogram_fit import VariogramFit
from geoloc.negatives.diagnosis import FlagDiagnosis
from geoloc.negatives.flag_ledger import FlagChurn
from geoloc.negatives.flag_zone import KINDS, FlagKind
from geoloc.viz.canvas import ANSWER, FAINT_INK, FONT, GRATICULE, INK, put_text

# Okabe and Ito (2008); told apart by the marks too.
COLOURS: Mapping[FlagKind, str] = {"false": "#009e73", "hard": "#d55e00"}
_MARKS: Mapping[FlagKind, str] = {"false": "s", "hard": "o"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NegativesEpoch:
    """What is shown of one epoch.

    Attributes:
        epoch: counted from 0.
        fit: of its semivariogram.
        diagnosis: what the rule made of pairs held out of the fit.
        churn: how much flags changed since the epoch before; None where that is not known.
        cost_share: share of the epoch's time that refit and mining took; None if not known.
    """

    epoch: int
    fit: VariogramFit
    diagnosis: FlagDiagnosis
    churn: FlagChurn | None = None
    cost_share: float | None = None


def draw_epochs(figure: Figure, history: Sequence[NegativesEpoch]) -> None:
    """Effective range, churn, mean weight and cost over the epochs, to the lower right."""
    nan = math.nan
    churn = {
        kind: [nan if each.churn is None else getattr(each.churn, kind) for each in history]
        for kind in KINDS
    }
    reach = [each.fit.effective_range if each.fit.has_structure else nan for each in history]
    weight = [float(each.diagnosis.mean_weight[-1]) for each in history]
    cost = [nan if each.cost_share is None else each.cost_share for each in history]
    left, right, upper, lower = 0.56, 0.80, 0.335, 0.095
    panels: list[tuple[tuple[float, float], str, dict[str, list[float]], bool]] = [
        ((left, upper), "Effective range, km", {"": reach}, False),
        ((right, upper), "Flags changed since the epoch before", dict(churn), True),
        ((left, lower), "Mean weight of negatives", {"": weight}, False),
        ((right, lower), "Refit and mining, share of the time", {"": cost}, True),
    ]
    epoch = [each.epoch for each in history]
    for (x, y), heading, curves, is_share in panels:
        axes = figure.add_axes((x, y, 0.19, 0.155))
        dress(axes, heading)
        _epochs(axes, epoch, curves, is_share=is_share)
        if y == lower:
            axes.set_xlabel("epoch", fontfamily=FONT, color=INK)


def _epochs(
    axes: Axes, epoch: Sequence[int], curves: Mapping[str, Sequence[float]], *, is_share: bool
) -> None:
    """Curves over epochs, one named by a kind of flag in its colour."""
    known = [value for values in curves.values() for value in values if math.isfinite(value)]
    for name, values in curves.items():
        colour = COLOURS["hard"] if name == "hard" else COLOURS["false"] if name else ANSWER
        mark = _MARKS["false"] if name == "false" else _MARKS["hard"]
        finite = [value if math.isfinite(value) else math.nan for value in values]
        axes.plot(epoch, finite, color=colour, marker=mark, ms=4, lw=1.6, label=name or None)
    axes.set_xlim(min(epoch) - 0.5, max(max(epoch), min(epoch) + 4) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    if is_share:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    else:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.7g}"))
    if known:
        low, high = min(known), max(known)
        air = 0.25 * (high - low) or 0.1 * abs(high) or 0.1
        axes.set_ylim(
            0.0 if is_share else low - air, high + (2.0 if len(curves) > 1 else 1.0) * air
        )
    else:
        axes.set_yticks([])
        put_text(axes, 0.5, 0.45, "not known yet", transform=axes.transAxes, ha="center")
    if len(curves) > 1 and known:
        small_legend(axes, "upper right", columns=2)


def dress(axes: Axes, heading: str) -> None:
    """The look of a small panel, and its heading."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT_INK)
    axes.grid(color=GRATICULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelfontfamily=FONT, labelcolor=INK, color=FAINT_INK, labelsize=9)
    put_text(axes, 0.0, 1.04, heading, transform=axes.transAxes, fontsize=11, fontweight="bold")


def small_legend(
    axes: Axes, loc: Literal["upper right", "upper left", "lower right"], *, columns: int = 1
) -> None:
    """A legend that hides little."""
    words = {"family": FONT, "size": 9}
    legend = axes.legend(loc=loc, ncols=columns, framealpha=0.9, prop=words, labelcolor=INK)
    legend.get_frame().set_edgecolor(GRATICULE)
