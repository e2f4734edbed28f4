import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import torch

from geoloc.cli import main
from geoloc.data.gridded_field import GriddedField
from geoloc.data.placed_series import PlacedSeries
from geoloc.experiment.diagnose_fields import diagnose_field, diagnose_pair
from geoloc.experiment.diagnose_source import ReadField, match_fields
from geoloc.experiment.diagnose_text import field_lines
from geoloc.geodesy import sample_sphere
from geoloc.geostatistics import gaussian_field
from geoloc.geostatistics.spatial_structure import lags_between


def axes(rows=8, columns=12, steps=40, west=0.0):
    return {
        "latitude_deg": 50.0 - np.arange(rows),
        "longitude_deg": west + np.arange(columns),
        "time_day": np.arange(float(steps)),
    }


@pytest.fixture(scope="module")
def remembered():
    """A field of exponential covariance (400 km) that remembers 0.8 of itself from step to step."""
    where = axes()
    grid = np.meshgrid(where["latitude_deg"], where["longitude_deg"], indexing="ij")
    places = np.stack([each.ravel() for each in grid], axis=-1)
    fields = gaussian_field(
        places,
        lambda lag: torch.exp(-lag / 400.0),
        generator=torch.Generator().manual_seed(0),
        fields=40,
    )[:, :, 0].numpy()
    for step in range(1, 40):
        fields[step] = 0.8 * fields[step - 1] + 0.6 * fields[step]
    return fields.reshape(40, 8, 12).astype(np.float32)


@pytest.fixture
def written(tmp_path, remembered):
    def write(file, values=remembered, **changes):
        path = tmp_path / f"{file}.npz"
        np.savez(path, values=values, unit="K", **(axes(steps=len(values)) | changes))
        return str(path)

    return write


def read(values, where=None, unit="K", **changes):
    where = where or axes(*values.shape[1:], steps=len(values))
    grid = GriddedField(name="f", unit=unit, values=values, source="a test", **(where | changes))
    series = PlacedSeries(
        name="f",
        unit=unit,
        values=grid.series().astype(np.float64),
        latlon_deg=grid.latlon_deg(),
        time=grid.time_day,
        dated=True,
    )
    return ReadField(series=series, grid=grid)


def diagnosed(field):
    return diagnose_field(field, lags_between(field.series.latlon_deg), most_lags=10)


@pytest.fixture(scope="module")
def truth(remembered):
    return diagnosed(read(remembered))


@pytest.fixture(scope="module")
def noise():
    return diagnosed(read(np.random.default_rng(4).normal(size=(40, 8, 12)).astype(np.float32)))


def test_a_field_that_remembers(truth):
    assert truth.spatial.structured
    assert truth.temporal.acf[1, 0] == pytest.approx(0.8, abs=0.15)
    assert truth.temporal.pacf[1, 0] > 4.0 * abs(truth.temporal.pacf[1, 1])
    told = dict(field_lines(truth))
    assert "it remembers" in told["ACF"]
    assert told["semivariogram"].startswith("rises with lag")
    assert "alike beyond chance" in told["Moran's I"]
    assert told["looked at"] == "96 places, 40 steps of 1 day"


def test_noise_is_said_to_be_noise(noise):
    told = dict(field_lines(noise))
    assert "no memory to be seen" in told["ACF"]
    assert "no structure" in told["semivariogram"] + told["Moran's I"]


def test_a_shifted_copy_is_its_shift_away(remembered, truth):
    pair = diagnose_pair(truth, diagnosed(read(remembered + 2.0)))
    assert pair.wasserstein == pytest.approx(2.0, abs=1e-5)
    assert pair.agreement.bias == pytest.approx(2.0, abs=1e-5)
    assert pair.agreement.pearson == pytest.approx(1.0)
    assert pair.semivariogram == pytest.approx(0.0, abs=1e-5)
    assert pair.match.told == (
        "40 steps of time, in order, at 96 places (those of the first): 3,840 values known in both"
    )


def test_noise_in_place_of_a_field_has_another_structure(truth, noise):
    pair = diagnose_pair(truth, noise)
    assert pair.semivariogram > 0.2
    assert pair.agreement.nse < 0


def test_grids_meet_in_the_cells_that_both_have(remembered, truth):
    coarse = remembered.reshape(40, 4, 2, 6, 2).mean(axis=(2, 4))
    where = axes(4, 6) | {
        "latitude_deg": 49.5 - 2.0 * np.arange(4),
        "longitude_deg": 4.5 + 2.0 * np.arange(6),
    }
    match = match_fields(read(remembered), read(coarse, where))
    # the coarse grid begins four columns further east
    assert match.one.shape == (40, 64)
    np.testing.assert_array_equal(match.other[:, 0], coarse[:, 0, 0])
    np.testing.assert_array_equal(match.one[:, 0], remembered[:, 0, 4])
    far = read(remembered, axes(west=100.0))
    assert match_fields(read(remembered), far) is None
    apart = diagnose_pair(truth, dataclasses.replace(truth, read=far))
    assert apart.agreement is None
    assert apart.wasserstein == 0.0
    assert "only distributions and structure" in apart.notes[0]


def test_other_steps_of_time_meet_as_means(remembered):
    single = remembered.mean(axis=0, keepdims=True)
    match = match_fields(read(remembered), read(single))
    np.testing.assert_allclose(match.one, match.other, atol=1e-5)
    assert match.told.startswith("means over time (of 40 steps and of 1)")


def test_of_other_units_only_the_correlation_is_told(remembered, truth):
    other = dataclasses.replace(truth, read=read(-remembered, unit="m"))
    pair = diagnose_pair(truth, other)
    told = pair.to_json()
    assert set(told["agreement"]) == {"count", "pearson", "r2"}
    assert told["agreement"]["pearson"] == pytest.approx(-1.0)
    assert (told["wasserstein"], told["semivariogram_distance"]) == (None, None)


def test_the_command_writes_a_page_and_says_it_in_words(written, remembered, tmp_path, capsys):
    gappy = remembered + 1.0
    gappy[3, 2, 2] = np.nan
    out = tmp_path / "out"
    assert main(["diagnose", written("truth"), written("mine", gappy), "--out", str(out)]) == 0
    text = capsys.readouterr().out
    for words in ("truth\n", "mine against truth", "Wasserstein   1 K", "it remembers"):
        assert words in text
    assert "1 series miss values" in text
    result = json.loads((out / "result.json").read_text())
    assert (result["schema_version"], result["provenance"]["seed"]) == (1, 0)
    assert result["pairs"][0]["agreement"]["bias"] == pytest.approx(1.0, abs=1e-4)
    assert len(result["fields"][0]["space"]["moran"]) == 24
    names = {each.name for each in out.iterdir()}
    kinds = ("map", "variogram", "time")
    assert names == {
        *(f"{stem}-{kind}.png" for stem in ("1-truth", "2-mine") for kind in kinds),
        *("2-mine-against-first.png", "variograms.png", "report.html", "result.json"),
    }
    page = (out / "report.html").read_text()
    assert page.count("data:image/png;base64") == 8
    assert "http" not in page


def test_two_columns_of_a_table_as_json(tmp_path, capsys, meuse):
    zinc = np.exp(meuse[1])
    places = sample_sphere(len(zinc), generator=np.random.default_rng(0))
    table = pd.DataFrame({"lat": places[:, 0], "lon": places[:, 1], "zinc": zinc})
    table["guess"] = table["zinc"] + 5.0
    path = tmp_path / "metals.csv"
    table.to_csv(path, index=False)
    wanted = ["--column", "zinc", "--column", "guess", "--format", "json"]
    assert main(["diagnose", str(path), *wanted]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in told["fields"]] == ["zinc (metals.csv)", "guess (metals.csv)"]
    assert told["pairs"][0]["wasserstein"] == pytest.approx(5.0)
    # put at random places, zinc has no structure
    assert not told["fields"][0]["space"]["structured"]


def test_a_series_of_no_place(tmp_path, capsys):
    path = tmp_path / "walk.csv"
    walk = np.cumsum(np.random.default_rng(0).normal(size=60))
    pd.DataFrame({"day": range(60), "walk": walk}).to_csv(path, index=False)
    options = ["--column", "walk", "--time", "day", "--lags", "5"]
    assert main(["diagnose", str(path), *options, "--out", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert "one series without a place, 60 steps of 1" in text
    assert "semivariogram and Moran's I are left out" in text
    assert "at 5 of 5 lags: it remembers" in text
    assert not (tmp_path / "out" / "1-walk-walk-csv-map.png").exists()


def test_two_series_meet_at_the_times_that_both_have(tmp_path, capsys):
    paths = []
    for first in (0, 10):
        path = tmp_path / f"from{first}.csv"
        days = np.arange(first, first + 30)
        pd.DataFrame({"day": days, "value": days**2}).to_csv(path, index=False)
        paths.append(str(path))
    options = ["--column", "value", "--time", "day", "--format", "json"]
    assert main(["diagnose", *paths, *options]) == 0
    pair = json.loads(capsys.readouterr().out)["pairs"][0]
    assert pair["agreement"]["rmse"] == 0.0
    assert pair["compared"].startswith("the 20 times that both have of two series")


def test_constants_and_few_places_are_told_not_refused(written, capsys):
    constant = np.full((12, 8, 12), 0.1, dtype=np.float32)
    small = np.random.default_rng(0).normal(size=(12, 2, 3)).astype(np.float32)
    few = axes(2, 3, steps=12)
    assert main(["diagnose", written("flat", constant), written("small", small, **few)]) == 0
    text = capsys.readouterr().out
    assert "all values are equal: semivariogram" in text
    assert "no series ever changes" in text
    assert "fewer than 10 places" in text
    assert "12 steps of time have 11 lags at most, not 30" in text
    assert "one of them is constant there" in text


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["package:rain"], "there are package:linke-turbidity"),
        (["{truth}", "--column", "x"], "--column is of a table"),
        (["{truth}", "--time", "x"], "--time is of a table"),
        (["{truth}", "--lags", "0"], "--lags 0"),
        (["{truth}", "--places", "0"], "--places 0"),
        (["{truth}", "--seed", "-1"], "--seed -1"),
        (["a.csv"], "with --column"),
        (["{truth}", "--out", "{truth}"], "is a file, not a folder"),
        (["{truth}"] * 13, "13 fields"),
    ],
)
def test_what_cannot_be_looked_at(words, complaint, written, capsys):
    path = written("truth")
    assert main(["diagnose", *(word.format(truth=path) for word in words)]) == 2
    assert complaint in capsys.readouterr().err


def test_fields_of_one_name_are_told_apart(written, remembered, tmp_path, capsys):
    out = tmp_path / "out"
    files = [
        written("one", name="heat"),
        written("other", remembered + 1.0, name="heat"),
        written("third", remembered + 2.0, name="rain"),
    ]
    assert main(["diagnose", *files, files[0], "--out", str(out)]) == 0
    text = capsys.readouterr().out
    result = json.loads((out / "result.json").read_text())
    first, second, third, last = (each["name"] for each in result["fields"])
    assert (second, third) == ("heat (other.npz)", "rain")
    assert (first, last) == ("heat (1: one.npz)", "heat (4: one.npz)")
    assert f"{second} against {first}\n" in text
    # every field has pictures and a curve of its own
    assert len(list(out.glob("*-against-first.png"))) == 3
    page = (out / "report.html").read_text()
    assert page.count("data:image/png;base64") == 4 * 3 + 3 + 1


def test_a_ring_with_one_odd_place_is_looked_at(tmp_path, capsys):
    # Moran's I of any deal of such values is the same: there is nothing to test
    values = np.zeros((6, 1, 36), dtype=np.float32)
    values[:, 0, 3] = np.arange(1.0, 7.0)
    longitude = 10.0 * np.arange(36) - 180.0
    where = {"latitude_deg": np.zeros(1), "longitude_deg": longitude, "time_day": np.arange(6.0)}
    np.savez(tmp_path / "ring.npz", values=values, **where)
    assert main(["diagnose", str(tmp_path / "ring.npz")]) == 0
    assert "are as by chance" in capsys.readouterr().out
