"""Share of images within a distance, against the distance: one curve a method."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from geoloc.errors import DataError
from geoloc.viz.canvas import FAINT_INK, FONT, GRATICULE, INK, new_figure, put_text, save_png

# The usual thresholds and their usual names (Weyand et al. 2016, PlaNet).
GRANULARITIES = {
    1.0: "street",
    25.0: "city",
    200.0: "region",
    750.0: "country",
    2500.0: "continent",
}
# Okabe and Ito (2008); told apart by the dashes too.
_STYLES = (
    ("#0072b2", "-"),
    ("#d55e00", (0, (6, 2))),
    ("#009e73", (0, (2, 1.5))),
    ("#cc79a7", (0, (6, 2, 1.5, 2))),
    ("#e69f00", (0, (1, 1))),
    ("#000000", (0, (8, 2, 1, 2, 1, 2))),
)
_NEAREST_KM, _FARTHEST_KM = 0.5, 20_050.0


def draw_error_curve(
    distances_km: Mapping[str, Float[np.ndarray, " image"]],
    path: Path | str,
    *,
    title: str = "Share of images located within a distance",
) -> Path:
    """Write the cumulative accuracy of one to six methods over a logarithmic distance axis.

    A curve at distance d is the share of errors strictly below d; a dot marks it at 1, 25, 200,
    750 and 2500 km. Errors below 0.5 km stand at the left edge.

    Args:
        distances_km: errors by the method's name, in the order of the legend (the model, the
            best constant guess, a random pick, ...).
        path: PNG to write; folders are made as needed.
        title: heading.

    Raises:
        DataError: there is no curve or more than six, a curve has no errors, or an error is
            negative or not finite.
    """
    if not 1 <= len(distances_km) <= len(_STYLES):
        raise DataError(f"draw one to {len(_STYLES)} curves, not {len(distances_km)}")
    for name, errors in distances_km.items():
        if not errors.size or not (np.isfinite(errors) & (errors >= 0)).all():
            raise DataError(f"curve {name!r}: the errors must be finite, not negative, not none")
    figure = new_figure(1200, 750)
    axes = figure.add_axes((0.085, 0.10, 0.885, 0.79))
    _prepare(axes)
    for (name, errors), (colour, dashes) in zip(distances_km.items(), _STYLES, strict=False):
        _curve(axes, name, errors, colour=colour, dashes=dashes)
    put_text(figure, 0.085, 0.95, title, fontsize=16, fontweight="bold")
    legend = axes.legend(
        loc="upper left", frameon=True, framealpha=0.95, prop={"family": FONT, "size": 11}
    )
    legend.get_frame().set_edgecolor(GRATICULE)
    return save_png(figure, path)


def share_within(
    errors_km: Float[np.ndarray, " image"], distance_km: Float[np.ndarray, " distance"]
) -> Float[np.ndarray, " distance"]:
    """Share of errors strictly below each distance."""
    below = np.searchsorted(np.sort(errors_km), distance_km, side="left")
    return below / len(errors_km)


def _prepare(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.set_xlim(_NEAREST_KM, _FARTHEST_KM)
    axes.set_ylim(0.0, 1.0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT_INK)
    for distance, name in GRANULARITIES.items():
        axes.axvline(distance, color=GRATICULE, linewidth=1.0, zorder=0)
        put_text(axes, distance, 1.015, name, ha="center", fontsize=10, color=FAINT_INK)
    ticks = [*GRANULARITIES, 20_000.0]
    axes.set_xticks(ticks, labels=[f"{tick:,.0f}" for tick in ticks], fontfamily=FONT, color=INK)
    axes.set_xticks([], minor=True)
    shares = np.linspace(0.0, 1.0, 6)
    axes.set_yticks(shares, labels=[f"{share:.0%}" for share in shares], fontfamily=FONT)
    axes.grid(axis="y", color=GRATICULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_ylabel("share of images within", fontfamily=FONT, color=INK, fontsize=11)
    axes.set_xlabel("distance from the true place, km", fontfamily=FONT, color=INK, fontsize=11)


def _curve(
    axes: Axes,
    name: str,
    errors_km: Float[np.ndarray, " image"],
    *,
    colour: str,
    dashes: str | tuple[int, tuple[int | float, ...]],
) -> None:
    distance = np.geomspace(_NEAREST_KM, _FARTHEST_KM, 800)
    label = f"{name} (median {np.median(errors_km):,.0f} km)"
    axes.plot(
        distance,
        share_within(errors_km, distance),
        color=colour,
        linestyle=dashes,
        linewidth=2.2,
        label=label,
    )
    marks = np.array(list(GRANULARITIES))
    axes.scatter(marks, share_within(errors_km, marks), s=26, color=colour, zorder=4, clip_on=False)
