"""A space-time prediction as one picture: maps of a step, the series of a place, what is left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from geoloc.geostatistics.variogram import Variogram
from geoloc.viz.canvas import (
    ANSWER,
    FAINT_INK,
    FONT,
    GRATICULE,
    INK,
    TRUTH,
    new_figure,
    put_text,
    save_png,
)

_WIDTH_PX, _HEIGHT_PX = 1400, 900
_RIVAL = "#009e73"
_COLOURS = (_RIVAL, ANSWER, TRUTH, FAINT_INK)
_MOST_STEPS = 240
_DAYS_A_YEAR = 365.25


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpaceTimePicture:
    """What there is to show.

    Attributes:
        name: of the field.
        unit: of its values.
        on_earth: whether places are latitude and longitude in degrees, or else km on a plane.
        stations: where series are known.
        station_values: there, at `step`.
        places: held out.
        truth: there; nan where it is not known.
        predicted: there.
        half_width: of the 90 % intervals.
        rival: what kriging per step gives.
        place: whose series is shown.
        step: whose map is shown.
        time_day: of the steps.
        dated: whether these are days since 1970.
        errors: semivariograms of errors at the places held out, by method; four at most.
    """

    name: str
    unit: str
    on_earth: bool
    stations: Float64[np.ndarray, "station 2"]
    station_values: Float64[np.ndarray, " station"]
    places: Float64[np.ndarray, "place 2"]
    truth: Float64[np.ndarray, "place time"]
    predicted: Float64[np.ndarray, "place time"]
    half_width: Float64[np.ndarray, "place time"]
    rival: Float64[np.ndarray, "place time"]
    place: int
    step: int
    time_day: Float64[np.ndarray, " time"]
    errors: Mapping[str, Variogram]
    dated: bool = False


def draw_space_time(shown: SpaceTimePicture, path: Path | str) -> Path:
    """Write the picture as a PNG; returns the path."""
    figure = new_figure(_WIDTH_PX, _HEIGHT_PX)
    title = f"{shown.name}: {len(shown.stations)} stations, {len(shown.places)} places held out"
    put_text(figure, 0.04, 0.95, title, fontsize=16, fontweight="bold")
    at = shown.step
    truth, predicted = shown.truth[:, at], shown.predicted[:, at]
    scale = Normalize(
        float(min(np.nanmin(truth), shown.station_values.min())),
        float(max(np.nanmax(truth), shown.station_values.max())),
    )
    most = float(np.nanquantile(np.abs(predicted - truth), 0.99)) or 1.0
    _map(figure, 0, shown, truth, style=(scale, "viridis", f"measured, {_when(shown)}"))
    told = "predicted, between stations as measured"
    _map(figure, 1, shown, predicted, style=(scale, "viridis", told))
    error = Normalize(-most, most)
    _map(
        figure,
        2,
        shown,
        predicted - truth,
        style=(error, "RdBu_r", "predicted minus truth; dots are stations"),
    )
    _series(figure.add_axes((0.055, 0.09, 0.53, 0.33)), shown)
    _left(figure.add_axes((0.665, 0.09, 0.31, 0.33)), shown)
    return save_png(figure, path)


def _map(
    figure: Figure,
    column: int,
    shown: SpaceTimePicture,
    values: np.ndarray,
    *,
    style: tuple[Normalize, str, str],
) -> None:
    """Places as coloured squares; stations as well where values are those of the field."""
    norm, colours, title = style
    left = 0.055 + 0.323 * column
    axes = figure.add_axes((left, 0.53, 0.235, 0.36))
    x, y = (1, 0) if shown.on_earth else (0, 1)
    size = min(0.55 * 245 * 324 / (len(shown.places) + len(shown.stations)), 45.0)
    drawn = axes.scatter(
        shown.places[:, x],
        shown.places[:, y],
        c=values,
        s=size,
        marker="s",
        linewidths=0,
        norm=norm,
        cmap=colours,
    )
    stations = shown.stations[:, x], shown.stations[:, y]
    if "minus" in title:
        axes.scatter(*stations, s=12, c=FAINT_INK, marker=".", linewidths=0)
    else:
        axes.scatter(
            *stations,
            c=shown.station_values,
            s=size,
            marker="s",
            linewidths=0,
            norm=norm,
            cmap=colours,
        )
    chosen = shown.places[shown.place]
    axes.scatter([chosen[x]], [chosen[y]], s=70, facecolors="none", edgecolors=INK, linewidths=1.4)
    _dress(axes, title)
    middle = np.radians(shown.places[:, 0].mean()) if shown.on_earth else 0.0
    axes.set_aspect(1.0 / max(float(np.cos(middle)), 0.1), adjustable="datalim")
    across, up = (
        ("longitude, degrees", "latitude, degrees") if shown.on_earth else ("x, km", "y, km")
    )
    axes.set_xlabel(across, fontfamily=FONT, color=INK)
    axes.set_ylabel(up, fontfamily=FONT, color=INK)
    bar = figure.colorbar(drawn, cax=figure.add_axes((left + 0.242, 0.53, 0.008, 0.36)))
    bar.set_label("" if shown.unit == "1" else shown.unit, fontfamily=FONT, color=INK)
    bar.ax.tick_params(labelsize=8, labelcolor=INK, color=FAINT_INK)
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]


def _series(axes: Axes, shown: SpaceTimePicture) -> None:
    """The series of the chosen place: truth, prediction with its interval, and kriging."""
    steps = min(len(shown.time_day), _MOST_STEPS if shown.on_earth else _MOST_STEPS // 2)
    first = min(max(shown.step - steps // 2, 0), len(shown.time_day) - steps)
    part = slice(first, first + steps)
    time, unit = _axis(shown)
    time = time[part]
    predicted = shown.predicted[shown.place, part]
    width = shown.half_width[shown.place, part]
    axes.fill_between(
        time,
        predicted - width,
        predicted + width,
        color=ANSWER,
        alpha=0.18,
        linewidth=0,
        label="its 90 % interval",
    )
    axes.plot(time, shown.truth[shown.place, part], color=INK, linewidth=1.1, label="truth")
    axes.plot(time, predicted, color=ANSWER, linewidth=1.1, label="predicted")
    rival = shown.rival[shown.place, part]
    axes.plot(time, rival, color=_RIVAL, linewidth=0.9, linestyle="--", label="kriging per step")
    _dress(axes, "series at the circled place")
    if shown.dated:
        dates = AutoDateLocator(maxticks=10)
        axes.xaxis.set_major_locator(dates)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(dates))
    axes.set_xlabel(unit, fontfamily=FONT, color=INK)
    axes.set_ylabel("" if shown.unit == "1" else shown.unit, fontfamily=FONT, color=INK)
    if len(time) > 1:
        axes.set_xlim(time[0], time[-1])
    axes.legend(prop={"family": FONT, "size": 8.5}, frameon=False, ncols=4, loc="upper left")
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.14 * (high - low))


def _axis(shown: SpaceTimePicture) -> tuple[np.ndarray, str]:
    """The times of the steps and what they are called."""
    if shown.dated:
        return np.round(shown.time_day * 86400.0).astype("datetime64[s]"), ""
    if not shown.on_earth:
        return shown.time_day, "steps"
    years = float(np.ptp(shown.time_day)) > 10 * _DAYS_A_YEAR
    return shown.time_day / (_DAYS_A_YEAR if years else 1.0), "years" if years else "days"


def _when(shown: SpaceTimePicture) -> str:
    """Which step the maps are of."""
    if not shown.dated:
        return f"step {shown.step + 1}"
    return str(_axis(shown)[0][shown.step]).removesuffix("T00:00:00")


def _left(axes: Axes, shown: SpaceTimePicture) -> None:
    """Semivariograms of the errors: flat where nothing predictable is left."""
    # curves may be one and the same: dashes let the one below be seen
    for number, (name, variogram) in enumerate(shown.errors.items()):
        axes.plot(
            variogram.lag,
            variogram.semivariance,
            "o--" if number == 2 else "o-",
            color=_COLOURS[number],
            markersize=3.5,
            label=name,
        )
    axes.set_ylim(0.0, axes.get_ylim()[1] * 1.28)
    axes.set_xlim(left=0.0)
    _dress(axes, "semivariogram of the errors at places held out")
    axes.set_xlabel(f"lag, {next(iter(shown.errors.values())).unit}", fontfamily=FONT, color=INK)
    squared = "" if shown.unit == "1" else f"{shown.unit}\N{SUPERSCRIPT TWO}"
    axes.set_ylabel(squared, fontfamily=FONT, color=INK)
    axes.legend(prop={"family": FONT, "size": 8.5}, frameon=False, loc="upper left")


def _dress(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=10.5, fontfamily=FONT, color=INK, loc="left")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT_INK)
    axes.grid(color=GRATICULE, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.tick_params(labelfontfamily=FONT, labelsize=8, labelcolor=INK, color=FAINT_INK)
