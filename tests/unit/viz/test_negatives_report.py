from __future__ import annotations

import base64
import dataclasses
import io
import math
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geoloc.errors import DataError
from geoloc.geostatistics.fitting import fit_variogram
from geoloc.geostatistics.lags import LagBins
from geoloc.geostatistics.variogram import Variogram
from geoloc.negatives.diagnosis import FlagDiagnosis
from geoloc.negatives.flag_ledger import FlagChurn, FlaggedPair
from geoloc.negatives.flag_zone import FlagZone
from geoloc.viz import negatives_figure
from geoloc.viz.negatives_epochs import NegativesEpoch
from geoloc.viz.negatives_figure import band_names, negatives_figure_png, percent_of
from geoloc.viz.negatives_report import LedgerEntry, PairedPlace, write_negatives_page


def variogram_of(scale_km: float, *, structure: bool = True) -> Variogram:
    bins = LagBins.logarithmic(24, 2.0, 20_016.0)
    lag = (bins.lower + bins.upper) / 2
    curve = 0.8 - 0.7 * np.exp(-lag / scale_km) if structure else np.full(len(lag), 0.8)
    wiggle = 1.0 + 0.01 * np.sin(np.arange(len(lag)) * 2.0)
    return Variogram(
        bins=bins,
        bin=np.arange(len(lag)),
        lag=lag,
        semivariance=curve * wiggle,
        spread=0.1 * curve,
        pair_count=np.geomspace(20, 1e6, len(lag)).astype(np.int64),
        standard_error=np.full(len(lag), np.nan),
    )


def epoch_of(epoch: int, *, structure: bool = True) -> NegativesEpoch:
    fit = fit_variogram(variogram_of(700.0 + 100.0 * epoch, structure=structure), "exponential")
    nan = math.nan
    known = epoch > 0
    diagnosis = FlagDiagnosis(
        edges_km=(0.0, 50.0, 1000.0, math.inf),
        pair_count=np.array([5, 900, 90_000, 90_905]),
        share_false=np.array([nan, 0.4375, 0.0, 0.004]),
        share_hard=np.array([nan, 0.0, 0.000123, 0.00012]),
        nominal_false=np.array([nan, 0.5, 0.0, 0.005]),
        nominal_hard=np.array([nan, 0.0, 0.0002, 0.0002]),
        mean_weight=np.array([nan, 1.0, 1.0625, 1.06]),
        level=(0.05, 0.5),
        realised=np.array([[nan, nan], [0.03, 0.45], [0.06, 0.51], [0.06, 0.51]]),
    )
    return NegativesEpoch(
        epoch=epoch,
        fit=fit,
        diagnosis=diagnosis,
        churn=FlagChurn(false=0.25, hard=0.625) if known else None,
        cost_share=0.04 if known else None,
    )


def zones_of(reach_km: float):
    lag_km = np.geomspace(1.0, 20_000.0, 60)
    near = lag_km <= reach_km
    level = np.where(near, 0.3, np.nan)
    nothing = np.full(60, np.nan)
    return {
        "false": FlagZone(lag_km=lag_km, lower=0.0 * level, upper=level, share=0.5 * near),
        "hard": FlagZone(lag_km=lag_km, lower=nothing, upper=nothing, share=0.0 * near),
    }


def entry_of(score: float, *, picture: bytes | None = None, name: str = "") -> LedgerEntry:
    pair = FlaggedPair(
        query=0, candidate=1, lag_km=5432.1, observed=0.0625, expected=0.71, score=score
    )
    query = PairedPlace(key="a&b", latlon_deg=(-12.5, 3.25), name=name, thumbnail=picture)
    candidate = PairedPlace(key="c", latlon_deg=(1.0, -179.5))
    return LedgerEntry(pair=pair, query=query, candidate=candidate)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch):
    """Draws, and gives the figure beside the PNG."""
    figures = []
    make = negatives_figure.png_bytes

    def kept(figure):
        figures.append(figure)
        return make(figure)

    monkeypatch.setattr(negatives_figure, "png_bytes", kept)

    def draw(history, **words):
        variogram = variogram_of(700.0)
        png = negatives_figure_png(history, variogram, zones_of(300.0), rule="mine", **words)
        return figures[-1], Image.open(io.BytesIO(png))

    return draw


def lines_of(axes):
    return {line.get_label(): line for line in axes.lines}


def test_the_picture_holds_earlier_fits_zones_shares_and_history(drawn):
    history = [epoch_of(number) for number in range(4)]
    figure, image = drawn(history)
    assert image.size == (1800, 1000)
    main, _, shares, calibration, reach, churn, weight, cost = figure.axes
    now = lines_of(main)["fit of this epoch"]
    lag, curve = now.get_data()
    assert curve == pytest.approx(history[-1].fit(lag))
    oldest, *_, newest = [line for line in main.lines if line.get_alpha()]
    assert newest.get_label() == "fits of 3 epochs before"
    assert oldest.get_ydata() == pytest.approx(history[0].fit(lag))
    assert oldest.get_alpha() < newest.get_alpha() < 1.0
    words = [text.get_text() for text in main.get_legend().get_texts()]
    assert "flagged false" in words
    assert "flagged hard" not in words
    heights = [bar.get_height() for bar in shares.patches]
    assert heights == [0.0, 0.4375, 0.0, 0.0, 0.0, 0.000123]
    # A band of five pairs says nothing and is left out.
    assert set(lines_of(calibration)) & {
        "0\N{EN DASH}50 km",
        "50\N{EN DASH}1,000 km",
        "> 1,000 km",
    } == {
        "50\N{EN DASH}1,000 km",
        "> 1,000 km",
    }
    assert lines_of(calibration)["> 1,000 km"].get_ydata().tolist() == [0.06, 0.51]
    assert lines_of(churn)["hard"].get_ydata()[1:].tolist() == [0.625] * 3
    assert np.isnan(lines_of(churn)["hard"].get_ydata()[0])
    assert [len(axes.lines[0].get_xdata()) for axes in (reach, weight, cost)] == [4] * 3
    assert weight.lines[0].get_ydata().tolist() == [1.06] * 4


def test_at_most_twelve_earlier_fits_are_drawn(drawn):
    figure, _ = drawn([epoch_of(number) for number in range(15)])
    assert sum(1 for line in figure.axes[0].lines if line.get_alpha()) == 12


def test_a_first_epoch_without_structure_is_drawn_and_says_so(drawn):
    figure, _ = drawn([epoch_of(0, structure=False)])
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert any("no structure" in text for text in texts)
    assert texts.count("not known yet") == 3
    with pytest.raises(DataError, match="no epoch"):
        drawn([])


def test_a_rule_that_flags_nothing_is_drawn_without_bars_and_scores(drawn):
    now = epoch_of(1)
    nothing, unknown = np.zeros(4), np.full((4, 2), math.nan)
    columns = ("share_false", "share_hard", "nominal_false", "nominal_hard")
    diagnosis = dataclasses.replace(
        now.diagnosis, realised=unknown, **dict.fromkeys(columns, nothing)
    )
    figure, _ = drawn([dataclasses.replace(now, diagnosis=diagnosis)])
    shares, calibration = figure.axes[2:4]
    assert [bar.get_height() for bar in shares.patches] == [0.0] * 6
    assert not shares.texts[1:]
    assert "no scores" in [text.get_text() for text in calibration.texts]


def test_names_and_percents():
    assert band_names((0.0, 50.0, 1000.0, math.inf)) == [
        "0\N{EN DASH}50",
        "50\N{EN DASH}1,000",
        "> 1,000",
    ]
    shares = (0.0, 0.5, 0.0995, 0.094, 0.0123, 0.00004567, 1.0, math.nan)
    told = ["0 %", "50 %", "10 %", "9.4 %", "1.2 %", "0.0046 %", "100 %", "-"]
    assert [percent_of(share) for share in shares] == told


def test_the_page_holds_tables_and_pairs_and_asks_for_nothing(tmp_path: Path):
    history = [epoch_of(number) for number in range(3)]
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (0, 200, 0)).save(buffer, "JPEG")
    figure = io.BytesIO()
    Image.new("RGB", (4, 4)).save(figure, "PNG")
    ledger = {"hard": [entry_of(0.00001, picture=buffer.getvalue(), name="<b>Bo</b>, XX")]}
    path = tmp_path / "deep" / "report.html"
    page = write_negatives_page(path, history, ledger, figure_png=figure.getvalue(), rule="mine")
    assert page == path
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"""(?:src|href)=["'](?!data:|#)""", text) == []
    assert "http" not in text
    assert "<script" not in text
    assert "<b>Bo" not in text
    assert "&lt;b&gt;Bo&lt;/b&gt;, XX" in text
    assert "a&amp;b" in text
    assert "12.500° S, 3.250° E" in text
    assert "1.000° N, 179.500° W" in text
    assert "lag 5,432 km · d 0.062 · &gamma; 0.710 · u &lt; 0.0001" in text
    assert text.count('<div class="two">') == 1
    assert "No pair held out of the fit is flagged as a false negative." in text
    rows = re.findall(r"<tr><td>(.*?)</tr>", text)
    cells = [row.replace("</td>", "").split("<td>") for row in rows]
    middle = ["50\N{EN DASH}1,000", "900", "44 %", "50 %", "0 %", "0 %", "1.0000", "3 %", "45 %"]
    assert cells[1] == middle
    assert cells[0][2:] == ["-"] * 7
    assert [row[0] for row in cells[4:]] == ["2", "1", "0"]
    assert cells[4][-3:] == ["25 %", "62 %", "4 %"]
    assert cells[6][-3:] == ["-", "-", "-"]
    pictures = re.findall(r"data:image/(\w+);base64,([^\"]+)", text)
    opened = [Image.open(io.BytesIO(base64.b64decode(body))) for _, body in pictures]
    assert (
        [image.format for image in opened]
        == ["PNG", "JPEG"]
        == [kind.upper() for kind, _ in pictures]
    )


def test_a_pair_of_unknown_look_shows_its_lag_alone(tmp_path: Path):
    nan = math.nan
    pair = FlaggedPair(query=0, candidate=1, lag_km=3.21, observed=nan, expected=nan, score=nan)
    place = PairedPlace(key="k", latlon_deg=(0.0, 0.0))
    entry = LedgerEntry(pair=pair, query=place, candidate=place)
    path = write_negatives_page(
        tmp_path / "r.html", [epoch_of(0)], {"false": [entry]}, figure_png=b"\x89PNG", rule="x"
    )
    assert '<p class="numbers">lag 3.2 km</p>' in path.read_text()
    with pytest.raises(DataError, match="no epoch"):
        write_negatives_page(tmp_path / "r.html", [], {}, figure_png=b"", rule="x")
