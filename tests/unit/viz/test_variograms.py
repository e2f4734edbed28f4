"""Pictures of semivariograms: what is drawn, where, and what is refused."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from geoloc.errors import DataError
from geoloc.geostatistics.fitting import fit_variogram
from geoloc.geostatistics.lags import LagBins
from geoloc.geostatistics.replicates import fit_replicates
from geoloc.geostatistics.variogram import Variogram
from geoloc.geostatistics.variogram_fit import VariogramFit
from geoloc.viz import draw_variogram, draw_variogram_comparison, variograms
from geoloc.viz.lag_axes import is_logarithmic
from geoloc.viz.variogram_words import interval, number

SCALE = 700.0


def made(
    bins: LagBins | None = None, *, nugget: float = 0.1, sill: float = 0.8, seed: int = 0
) -> Variogram:
    """An exponential variogram, nearly, in every class but the first two."""
    bins = bins or LagBins.logarithmic(24, 2.0, 20_016.0)
    kept = np.arange(2, len(bins))
    lag = (bins.lower + bins.upper)[kept] / 2
    generator = np.random.default_rng(seed)
    curve = nugget + (sill - nugget) * -np.expm1(-lag / SCALE)
    curve = curve * generator.normal(1.0, 0.01, len(lag))
    replicate = curve * generator.normal(1.0, 0.01, (8, len(lag)))
    return Variogram(
        bins=bins,
        bin=kept,
        lag=lag,
        semivariance=curve,
        spread=0.2 * curve,
        pair_count=np.geomspace(1, 1e6, len(lag)).astype(np.int64),
        standard_error=np.where(np.arange(len(lag)) == 0, 0.0, 0.03 * curve),
        quantile_level=(0.05, 0.25, 0.5, 0.75, 0.95),
        quantile=curve[:, None] * np.array([0.5, 0.8, 1.0, 1.2, 1.6]),
        replicate=replicate,
        provenance={"samples": 4000, "pairs": "all"},
    )


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Figure]:
    """The figure that a drawing function saves."""
    figures: list[Figure] = []
    save = variograms.save_png

    def kept(figure: Figure, path: Path | str) -> Path:
        figures.append(figure)
        return save(figure, path)

    monkeypatch.setattr(variograms, "save_png", kept)

    def draw(function: Callable[..., Path], *words: Any, **choices: Any) -> Figure:
        path = function(*words, tmp_path / "deep" / "v.png", **choices)
        assert path == tmp_path / "deep" / "v.png"
        return figures[-1]

    return draw


def words_of(figure: Figure) -> list[str]:
    """Every text in a figure: in the margins, in the axes, in the legends."""
    found = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        found += [text.get_text() for text in axes.texts]
    for legend in figure.legends:
        found += [text.get_text() for text in legend.get_texts()]
    return found


def lines_of(axes: Axes, *, style: str) -> list[np.ndarray]:
    return [np.array(line.get_xdata()) for line in axes.lines if line.get_linestyle() == style]


def test_a_png_of_the_variogram(tmp_path: Path, read_png: Callable[[Path], np.ndarray]) -> None:
    variogram = made()
    pixels = read_png(draw_variogram(variogram, tmp_path / "a" / "v.png", title="cost $ of $x"))
    assert pixels.shape == (800, 1400, 3)
    fitted = read_png(
        draw_variogram(variogram, tmp_path / "b.png", fit=fit_variogram(variogram, "exponential"))
    )
    assert (pixels != fitted).any()


def test_the_fit_is_marked_where_it_is(drawn: Callable[..., Figure]) -> None:
    variogram = made()
    fit = fit_variogram(variogram, "exponential")
    assert fit.has_structure
    figure = drawn(draw_variogram, variogram, fit=fit)
    main, strip = figure.axes
    assert main.get_xscale() == "log"
    assert strip.get_xlim() == main.get_xlim()
    dotted = lines_of(main, style=":")
    assert any(np.allclose(x, fit.effective_range) for x in dotted)
    told = words_of(figure)
    assert f"sill {number(fit.sill)}" in told
    assert f"nugget {number(fit.nugget)}" in told
    assert f"effective range {number(fit.effective_range)} km" in told
    assert any(interval(fit, "effective_range") in word for word in told)
    assert "4,000 samples" in told
    curve = next(line for line in main.lines if len(np.array(line.get_xdata())) > 100)
    at = np.array(curve.get_xdata())
    np.testing.assert_allclose(np.array(curve.get_ydata()), fit(at))


def test_points_grow_with_the_pairs(drawn: Callable[..., Figure]) -> None:
    sizes = variograms.point_sizes(np.array([1, 10, 1000, 1_000_000]))
    assert (np.diff(sizes) > 0).all()
    assert np.isfinite(variograms.point_sizes(np.array([1]))).all()
    variogram = made()
    main = drawn(draw_variogram, variogram).axes[0]
    points: Any = next(
        c for c in main.collections if np.array(c.get_offsets()).shape == (len(variogram), 2)
    )
    np.testing.assert_allclose(np.array(points.get_offsets())[:, 1], variogram.semivariance)
    np.testing.assert_allclose(points.get_sizes(), variograms.point_sizes(variogram.pair_count))


def test_bars_are_95_percent_and_none_where_the_error_is_not_known(
    drawn: Callable[..., Figure],
) -> None:
    variogram = made()
    main = drawn(draw_variogram, variogram).axes[0]
    container: Any = main.containers[0]
    bars = container.lines[2][0].get_segments()
    assert len(bars) == len(variogram) - 1, "a class whose error is 0 has no bar"
    low, high = (np.array([bar[end][1] for bar in bars]) for end in (0, 1))
    np.testing.assert_allclose((high - low) / 2, 1.96 * variogram.standard_error[1:], rtol=1e-6)


def test_the_axis_is_as_the_classes_are(drawn: Callable[..., Figure]) -> None:
    assert is_logarithmic(LagBins.logarithmic(30, 1.0, 20_000.0))
    assert not is_logarithmic(LagBins.even(12, 300.0))
    assert not is_logarithmic(LagBins(edges=(0.0, 0.001, 10.0, 20.0)))
    figure = drawn(draw_variogram, made(LagBins.even(20, 5000.0, unit="m")))
    main, strip = figure.axes
    assert main.get_xscale() == "linear"
    assert strip.get_yscale() == "log"
    assert strip.get_xlabel().endswith(", m")


def test_words_lie_inside_and_apart(drawn: Callable[..., Figure]) -> None:
    large = made(nugget=1e6, sill=1e7)
    for variogram in (made(), made(LagBins.even(20, 5000.0)), made(nugget=0.5), large):
        fit = fit_variogram(variogram, "exponential")
        figure = drawn(draw_variogram, variogram, fit=fit, title="a long title " * 20)
        canvas: Any = figure.canvas
        renderer = canvas.get_renderer()
        texts = [*figure.texts, *figure.axes[0].texts, figure.axes[0].yaxis.label]
        boxes = [text.get_window_extent(renderer) for text in texts]
        for text, box in zip(texts, boxes, strict=True):
            assert 0 <= box.x0 < box.x1 <= 1400, text.get_text()
            assert 0 <= box.y0 < box.y1 <= 800, text.get_text()
        legend = figure.legends[0].get_window_extent(renderer)
        for box in boxes[: len(figure.texts)]:
            assert not box.overlaps(legend)


def test_a_curve_without_structure_or_without_anything_known(
    drawn: Callable[..., Figure],
) -> None:
    variogram = made(nugget=0.5, sill=0.5)
    bare = dataclasses.replace(
        variogram,
        quantile=None,
        quantile_level=(),
        replicate=None,
        standard_error=np.full(len(variogram), np.nan),
        provenance={},
    )
    fit = fit_variogram(bare, "nugget")
    figure = drawn(draw_variogram, bare, fit=fit)
    assert not any("effective range 0" in word for word in words_of(figure))
    assert not any("samples" in word for word in words_of(figure))


def test_the_legend_lists_what_is_drawn(drawn: Callable[..., Figure]) -> None:
    variogram = made()
    fit = fit_variogram(variogram, "exponential")
    told = words_of(drawn(draw_variogram, variogram, fit=fit))
    for words in ("sill", "effective range", "nugget, at lag 0", "90 % of the pairs", "not fitted"):
        assert words in told
    assert told.count("its 95 % interval") == 1, "of the points; the range has none"
    sure = fit_replicates(variogram, fit)
    assert words_of(drawn(draw_variogram, variogram, fit=sure)).count("its 95 % interval") == 2
    bare = dataclasses.replace(
        variogram, quantile=None, standard_error=np.full(len(variogram), np.nan)
    )
    told = words_of(drawn(draw_variogram, bare))
    assert not {"its 95 % interval", "half of the pairs", "sill", "not fitted"} & set(told)
    assert variogram.quantile is not None
    high = dataclasses.replace(variogram, quantile=9.0 * variogram.quantile)
    assert "90 % of the pairs (cut off)" in words_of(drawn(draw_variogram, high))


def test_the_first_point_is_whole_and_the_curve_dashed_beyond_the_fit(
    drawn: Callable[..., Figure],
) -> None:
    variogram = made()
    fit = fit_variogram(variogram, "exponential")
    main = drawn(draw_variogram, variogram, fit=fit).axes[0]
    assert main.get_xlim()[0] <= 0.7 * variogram.lag[0] * 1.0001
    curves = [line for line in main.lines if line.get_linewidth() == 2.0]
    for line in curves:
        lag = np.array(line.get_xdata())
        within = ((lag >= fit.lag.min()) & (lag <= fit.lag.max())).all()
        assert line.is_dashed() != within or len(lag) < 2


def test_bars_end_at_zero_but_for_cross_variograms(drawn: Callable[..., Figure]) -> None:
    unsure = dataclasses.replace(made(), standard_error=10.0 * made().semivariance)
    for kind, clipped in (("squared", True), ("cross", False)):
        variogram = dataclasses.replace(unsure, dissimilarity=kind)
        container: Any = drawn(draw_variogram, variogram).axes[0].containers[0]
        lowest = min(bar[0][1] for bar in container.lines[2][0].get_segments())
        assert (lowest >= -1e-12) == clipped


def test_the_axis_says_what_was_taken_of_the_pairs(drawn: Callable[..., Figure]) -> None:
    median = dataclasses.replace(made(), estimator="median")
    figure = drawn(draw_variogram, median)
    label = figure.axes[0].get_ylabel()
    assert label == "semivariance (median estimator of 1 \N{MINUS SIGN} cosine)"
    cross = drawn(draw_variogram, dataclasses.replace(made(), dissimilarity="cross"))
    assert cross.axes[0].get_ylabel().startswith("cross-semivariance")
    assert "Cross-variogram" in words_of(cross)


def test_what_stands_at_its_bound_has_no_interval() -> None:
    variogram = made()
    fit = fit_replicates(variogram, fit_variogram(variogram, "exponential"))
    assert " to " in interval(fit, "nugget")
    assert interval(dataclasses.replace(fit, nugget=0.0), "nugget") == "at its bound"
    still = dataclasses.replace(fit, standard_error={**fit.standard_error, "sill": 0.0})
    assert interval(still, "sill") == "at its bound"
    far = dataclasses.replace(
        fit,
        structures=(dataclasses.replace(fit.structures[0], scale=1e7),),
        metric="euclidean",
        lag_metric="euclidean",
    )
    assert interval(far, "effective_range") == "at its bound"


def test_flags_stand_in_the_panel(drawn: Callable[..., Figure]) -> None:
    variogram = made()
    fit = dataclasses.replace(
        fit_variogram(variogram, "exponential"), flags=("range_beyond_data", "nugget_at_zero")
    )
    told = words_of(drawn(draw_variogram, variogram, fit=fit))
    assert {"range beyond the data", "nugget at zero"} <= set(told)


def test_without_structure_a_comparison_draws_a_flat_line(drawn: Callable[..., Figure]) -> None:
    variogram = made(nugget=0.5, sill=0.5)
    fit = fit_variogram(variogram, "nugget")
    figure = drawn(draw_variogram_comparison, {"a": (variogram, fit), "b": (variogram, None)})
    # lines across the whole axes are given by its ends
    across = [
        line for line in figure.axes[0].lines if np.array(line.get_xdata()).tolist() == [0, 1]
    ]
    assert len(across) == 1
    np.testing.assert_allclose(np.array(across[0].get_ydata()), fit.sill, rtol=1e-6)
    assert any("no structure" in word for word in words_of(figure))


def test_a_far_sill_does_not_flatten_the_curve(drawn: Callable[..., Figure]) -> None:
    variogram = made()
    fit = fit_variogram(variogram, "exponential")
    structure = dataclasses.replace(fit.structures[0], partial_sill=50.0)
    far = dataclasses.replace(fit, structures=(structure,))
    main = drawn(draw_variogram, variogram, fit=far).axes[0]
    assert main.get_ylim()[1] < 3.0


def test_comparisons_overlay_two_to_six(drawn: Callable[..., Figure], tmp_path: Path) -> None:
    named: dict[str, tuple[Variogram, VariogramFit | None]] = {}
    for count in range(6):
        variogram = made(sill=0.5 + 0.1 * count, seed=count)
        named[f"set {count}"] = (
            variogram,
            fit_variogram(variogram, "exponential") if count % 2 else None,
        )
    figure = drawn(draw_variogram_comparison, named)
    told = words_of(figure)
    assert all(name in told for name in named)
    fit = named["set 1"][1]
    assert fit is not None
    assert f"effective range {number(fit.effective_range)} km" in told
    canvas: Any = figure.canvas
    for text in figure.texts:
        box = text.get_window_extent(canvas.get_renderer())
        assert box.y0 >= 0, text.get_text()
        assert box.x1 <= 1400, text.get_text()
    with pytest.raises(DataError, match="two to 6"):
        draw_variogram_comparison({"one": (made(), None)}, tmp_path / "v.png")
    with pytest.raises(DataError, match="two to 6"):
        draw_variogram_comparison({**named, "7": (made(), None)}, tmp_path / "v.png")


@pytest.mark.parametrize(
    "change",
    [{"dissimilarity": "squared"}, {"estimator": "median"}, {"metric": "euclidean"}, {"bins": "m"}],
)
def test_what_no_axis_can_hold_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    one = made()
    if change.get("bins") == "m":
        change = {"bins": LagBins(edges=one.bins.edges, unit="m")}
    named = {"a": (one, None), "b": (dataclasses.replace(one, **change), None)}
    with pytest.raises(DataError, match="differ in"):
        draw_variogram_comparison(named, tmp_path / "v.png")


def test_a_fit_in_another_unit_is_refused(tmp_path: Path) -> None:
    metres = made(LagBins.logarithmic(24, 2.0, 20_016.0, unit="m"))
    with pytest.raises(DataError, match="km"):
        draw_variogram(metres, tmp_path / "v.png", fit=fit_variogram(made(), "exponential"))


def test_numbers_in_words() -> None:
    assert number(2345.678) == "2,346"
    assert number(0.0123456) == "0.01235"
    assert number(math.nan) == "-"
    assert number(0.0) == "0"
