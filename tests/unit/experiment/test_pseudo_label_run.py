from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from geoloc.artifacts import read_json
from geoloc.cli import main
from geoloc.data.station_series import StationSeries
from geoloc.errors import ConfigError
from geoloc.evaluation import spatial_blocks
from geoloc.experiment.loading import load_section
from geoloc.experiment.pseudo_label_data import all_covariates, draw_parts
from geoloc.experiment.pseudo_label_run import BOTH, FOREST, METHODS, WITH, PseudoLabelResult
from geoloc.experiment.pseudo_label_schema import PseudoLabelConfig
from geoloc.experiment.pseudo_label_text import pseudo_label_terminal

SMOKE = Path(__file__).parents[3] / "configs" / "smoke" / "pseudolabels.yaml"


def series(places: int = 300, unmeasured: int = 40) -> StationSeries:
    generator = np.random.default_rng(0)
    value = generator.normal(size=(places, 3))
    value[:unmeasured] = np.nan
    return StationSeries(
        name="pm25",
        unit="1",
        station=tuple(str(each) for each in range(places)),
        latlon_deg=generator.uniform([-50, -170], [60, 170], (places, 2)),
        time_day=np.array([0.0, 91.3125, 182.625]),
        value=value,
        covariate=np.ones((places, 3, 1)),
        covariates=("wind",),
    )


def test_places_are_dealt_out_once_and_blocks_never_both_teach_and_judge() -> None:
    config = PseudoLabelConfig(stations=40, tested=30, unlabelled=60)
    given = series()
    block = spatial_blocks(given.latlon_deg, block_km=config.block_km)
    for seed in range(5):
        parts = draw_parts(given, config, seed)
        sizes = tuple(len(each) for each in (parts.stations, parts.tested, parts.unlabelled))
        assert sizes == (40, 30, 60)
        everything = np.concatenate([parts.stations, parts.tested, parts.unlabelled])
        assert len(np.unique(everything)) == len(everything)
        assert not set(block[parts.stations]) & set(block[parts.tested])
        # places that never measured anything are what pseudo-labels are for
        assert set(range(40)) <= set(parts.unlabelled.tolist())
    again = draw_parts(given, config, 4)
    assert again.tested.tolist() == parts.tested.tolist()
    with pytest.raises(ConfigError, match="three of each at least"):
        draw_parts(series(4, 0), config, 0)


def test_without_places_for_pseudo_labels_that_is_what_is_told() -> None:
    config = PseudoLabelConfig(stations=300, tested=300, test_share=0.5)
    with pytest.raises(ConfigError, match="none is left for a pseudo-label"):
        draw_parts(series(60, 0), config, 0)


def test_the_season_is_a_circle_and_longitude_is_told_only_when_asked() -> None:
    given = series(5, 0)
    covariate, names = all_covariates(given, longitude=False)
    assert names == ("wind", "latitude_deg", "season_sine", "season_cosine")
    assert covariate[2, :, 1].tolist() == [given.latlon_deg[2, 0]] * 3
    # the first of January, a quarter of a year later, and half a year
    assert covariate[0, :, 2] == pytest.approx([0.0, 1.0, 0.0], abs=1e-12)
    assert covariate[0, :, 3] == pytest.approx([1.0, 0.0, -1.0], abs=1e-12)
    covariate, names = all_covariates(given, longitude=True)
    assert names[2] == "longitude_deg"
    assert covariate[:, 1, 2].tolist() == given.latlon_deg[:, 1].tolist()


def test_gains_are_paired_by_seed() -> None:
    one, two = {"rmse": [1.0, 3.0]}, {"rmse": [0.5, 2.5]}
    scores = {FOREST: one, FOREST + WITH: two}
    result = PseudoLabelResult(told={}, scores=scores, out=Path())
    assert result.gain("rmse", of=FOREST) == pytest.approx((-0.5, -0.5, -0.5))
    assert result.interval(FOREST, "rmse")[0] == 2.0


def test_a_correlation_that_is_none_can_be_written() -> None:
    # of one step and a variogram without structure kriging is the same everywhere
    result = PseudoLabelResult(
        told={}, scores={FOREST: {"pearson": [0.5, float("nan")]}}, out=Path()
    )
    assert json.dumps(result.scores_json(), allow_nan=False) == json.dumps(
        {FOREST: {"pearson": [0.5, None]}}
    )


def write_stations(path: Path) -> None:
    """Forty stations about Delhi; the last ten never measure."""
    generator = np.random.default_rng(1)
    lines = ["station,latitude,longitude,time,value,wind"]
    for number in range(40):
        lat, lon = 28.6 + generator.uniform(-2, 2), 77.2 + generator.uniform(-2, 2)
        for month in (1, 4, 7):
            wind = generator.uniform(0, 5)
            value = "" if number >= 30 else f"{150 + 20 * lat - 20 * 28 - 5 * wind:.2f}"
            lines.append(f"s{number},{lat:.4f},{lon:.4f},2024-{month:02d}-01,{value},{wind:.2f}")
    path.write_text("\n".join(lines) + "\n")


def test_the_command_works_on_a_table_of_stations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "pm25.csv"
    write_stations(table)
    earth = tmp_path / "earth.png"
    from PIL import Image

    noise = np.random.default_rng(2).integers(0, 255, (90, 180, 3), dtype=np.uint8)
    Image.fromarray(noise).save(earth)
    words = [
        *(f"field={table}", f"images.picture={earth}", "unit=ug/m3", "stations=15", "tested=10"),
        *("unlabelled=12", "block_km=60.0", "kriging.max_lag_km=400.0", "seeds=[3]"),
    ]
    out = tmp_path / "out"
    assert main(["pseudolabel", str(SMOKE), *words, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "15 stations, 12 images without one" in printed
    assert printed.count("pseudo-labels change") == 2
    assert (out / "pseudolabels.png").stat().st_size > 10_000
    result = read_json(out / "result.json", what="result")
    assert result["schema_version"] == 1
    assert set(result["scores"]) == set(METHODS)
    assert result["covariates"][0] == "wind"
    assert result["provenance"]["seeds"] == [3]
    assert all(len(each["rmse"]) == 1 for each in result["scores"].values())
    assert main(["pseudolabel", str(SMOKE), "stations=0", "--out", str(out)]) == 2


@pytest.mark.slow
def test_the_smoke_settings_run_on_the_real_field(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["pseudolabel", str(SMOKE), "seeds=[0]", "--out", str(out)]) == 0
    result = json.loads((out / "result.json").read_text())
    assert result["field"] == "Linke turbidity"
    # better than the mean: a standard deviation is about 1
    assert result["scores"][BOTH + WITH]["rmse"][0] < 0.9


def test_what_contradicts_itself_is_refused() -> None:
    with pytest.raises(ConfigError, match="no seed twice"):
        load_section(SMOKE, ["seeds=[1, 1]"], PseudoLabelConfig)
    with pytest.raises(ConfigError, match="south of"):
        load_section(SMOKE, ["places.south_deg=80.0"], PseudoLabelConfig)


def test_one_seed_has_no_interval() -> None:
    scores = {name: {each: [0.5] for each in ("rmse", "pearson", "spatial_r")} for name in METHODS}
    told = {"field": "pm25", "stations": 1, "unlabelled": 2, "tested": 3, "steps": 4}
    printed = pseudo_label_terminal(PseudoLabelResult(told=told, scores=scores, out=Path("x")))
    assert "nan" not in printed
    assert "1 seeds" in printed
