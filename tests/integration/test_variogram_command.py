"""`geoloc variogram` and `geoloc variogram compare`, from every kind of source."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from geoloc.batch import GeoBatch
from geoloc.cli import main
from geoloc.errors import ConfigError
from geoloc.experiment import variogram_run, variogram_source
from geoloc.experiment.variogram_compare import difference_of
from geoloc.experiment.variogram_lags import BinsRequest, lag_bins
from geoloc.experiment.variogram_source import PlacedValues, SourceRequest, read_source
from geoloc.geodesy import sample_sphere
from geoloc.geostatistics.estimate import estimate_variogram
from geoloc.geostatistics.files import load_variogram
from geoloc.geostatistics.lags import LagBins
from geoloc.geostatistics.simulation import gaussian_field
from geoloc.geostatistics.variogram_fit import VariogramFit
from geoloc.retrieval import Embedded
from geoloc.viz.variogram_words import number
from tests.unit.data.written_caches import write_cache

SCALE_KM = 900.0
COUNT = 500


@pytest.fixture(scope="module")
def places() -> np.ndarray:
    """Places all over the Earth, half of them some tens of kilometres from another."""
    generator = np.random.default_rng(11)
    towns = sample_sphere(COUNT // 2, generator=generator)
    towns[:, 0] *= 0.85
    near = towns + generator.normal(0.0, 0.3, towns.shape)
    near[:, 1] = (near[:, 1] + 180.0) % 360.0 - 180.0
    return np.concatenate([towns, near])


@pytest.fixture(scope="module")
def features(places: np.ndarray) -> np.ndarray:
    """24 exponential fields of sill 1 together, effective range 3 SCALE_KM."""
    field = gaussian_field(
        places,
        lambda lag: torch.exp(-lag / SCALE_KM),
        generator=torch.Generator().manual_seed(2),
        features=24,
    )
    return field[0].numpy().astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any, places: np.ndarray, features: np.ndarray) -> Path:
    """Every kind of source."""
    root = tmp_path_factory.mktemp("sources")
    embedded = Embedded(
        key=tuple(map(str, range(COUNT))),
        latlon_deg=places,
        embedding=torch.from_numpy(features),
        label=({},) * COUNT,
    )
    embedded.save(root / "embedded", model_fingerprint="m")
    batch = GeoBatch(
        key=embedded.key,
        latlon_deg=torch.from_numpy(places),
        image=torch.zeros(COUNT, 3, 1, 1),
    )
    write_cache(
        root / "cache", [batch], lambda _: torch.from_numpy(features), fingerprint={"backbone": "b"}
    )
    np.savez(root / "arrays.npz", latlon_deg=places, values=features, first=features[:, 0])
    frame = pd.DataFrame(
        {"Latitude": places[:, 0], "lon": places[:, 1], "height": features[:, 0].astype(float)}
    )
    frame.to_csv(root / "table.csv", index=False)
    frame.to_parquet(root / "table.parquet")
    plane = pd.DataFrame(np.random.default_rng(1).uniform(0, 90, (80, 2)), columns=["x", "y"])
    plane["z"] = plane["x"] / 30
    plane.to_csv(root / "plane.csv", index=False)
    return root


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main(["variogram", *map(str, words)])
    told = capsys.readouterr()
    return code, told.out, told.err


@pytest.fixture(scope="module")
def estimated(folder: Path) -> Path:
    """The variogram of the embeddings, by the command."""
    out = folder / "out" / "embedded"
    words = ["variogram", str(folder / "embedded"), "--out", str(out), "--dissimilarity", "squared"]
    assert main(words) == 0
    return out


def test_the_files_say_what_was_measured(
    estimated: Path, folder: Path, features: np.ndarray
) -> None:
    variogram = load_variogram(estimated / "variogram.json")
    assert variogram.provenance["samples"] == COUNT
    assert variogram.provenance["pairs"] == "all"
    assert variogram.provenance["source"] == str(folder / "embedded")
    assert variogram.dissimilarity == "squared"
    assert variogram.pair_count.sum() + variogram.coincident_count + variogram.below_count == (
        COUNT * (COUNT - 1) // 2
    )
    fit = VariogramFit.load(estimated / "fit.json")
    assert fit.model == "stable"
    assert fit.unit == "km"
    assert 0.6 * 3 * SCALE_KM < fit.effective_range < 1.7 * 3 * SCALE_KM
    assert fit.sill == pytest.approx(float(features.var(axis=0).sum()), rel=0.2)
    with (estimated / "variogram.csv").open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) == len(variogram)
    with Image.open(estimated / "variogram.png") as drawn:
        assert drawn.width >= 1000


def test_the_table_in_words(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = folder / "embedded", folder / "out" / "words"
    code, told, _ = run(capsys, source, "--out", out)
    assert code == 0
    assert "124,750 pairs (all)" in told.replace("\n", " ") or "below" in told
    fit = VariogramFit.load(out / "fit.json")
    line = next(line for line in told.splitlines() if line.startswith("effective range"))
    assert f"{fit.effective_range:,.0f} km" in line
    low, high = fit.interval("effective_range")
    assert f"{low:,.0f} to {high:,.0f} km" in line
    for name in ("nugget", "partial sill", "sill", "500 samples", "estimator matheron"):
        assert name in told
    for file in ("variogram.json", "variogram.csv", "fit.json", "variogram.png"):
        assert str(out / file) in told


def test_every_source_gives_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def curve(*words: object) -> np.ndarray:
        code, told, error = run(capsys, *words, "--out", folder / "out" / "any", "--format", "json")
        assert code == 0, error
        return np.array(json.loads(told)["variogram"]["semivariance"])

    vectors = curve(folder / "embedded")
    # a cache holds float16
    np.testing.assert_allclose(curve(folder / "cache"), vectors, atol=1e-3)
    np.testing.assert_array_equal(curve(folder / "arrays.npz"), vectors)
    scalar = curve(folder / "table.csv", "--column", "height")
    np.testing.assert_allclose(
        curve(folder / "table.parquet", "--column", "height"), scalar, rtol=1e-12
    )
    np.testing.assert_allclose(
        curve(folder / "arrays.npz", "--column", "first"), scalar, rtol=1e-5, atol=1e-6
    )


def test_a_cache_stays_on_disk(folder: Path) -> None:
    placed = read_source(SourceRequest(source=str(folder / "cache")), say=lambda _: None)
    assert isinstance(placed.values, np.memmap)
    assert not placed.values.flags.writeable
    assert placed.provenance["fingerprint"] == {"backbone": "b"}


def test_shards_are_embedded_by_the_model_of_a_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded = Embedded.load(folder / "embedded")
    asked: list[Any] = []

    def opened(run_folder: Path, **choices: Any) -> Any:
        asked.append((run_folder, choices["device"]))
        return SimpleNamespace(model=SimpleNamespace(fingerprint=lambda: "f"))

    def by_model(trained: Any, source: str, *, workers: int | None) -> Any:
        asked.append((source, workers))
        return embedded, {"truncated": 1}

    monkeypatch.setattr(variogram_source, "open_trained_run", opened)
    monkeypatch.setattr(variogram_source, "embed_source", by_model)
    request = SourceRequest(source="s/{0..3}.tar", run_folder=Path("r"), device="cpu", workers=2)
    placed = read_source(request, say=lambda _: None)
    assert asked == [(Path("r"), "cpu"), ("s/{0..3}.tar", 2)]
    assert len(placed.place) == COUNT
    assert placed.provenance == {
        "run": "r",
        "model_fingerprint": "f",
        "lost": {"truncated": 1},
    }


def test_in_the_plane(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = (folder / "plane.csv", "--column", "z", "--metric", "euclidean", "--unit", "m")
    out = folder / "out" / "plane"
    code, told, error = run(capsys, *words, "--out", out, "--model", "spherical")
    assert code == 0, error
    variogram = load_variogram(out / "variogram.json")
    assert (variogram.unit, variogram.metric, len(variogram.bins)) == ("m", "euclidean", 15)
    assert "beyond the last class" in told
    assert VariogramFit.load(out / "fit.json").model == "spherical"


def test_of_several_models_the_best_is_kept(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder / "out" / "models"
    words = (folder / "embedded", "--out", out, "--dissimilarity", "squared")
    code, told, _ = run(capsys, *words, "--model", "nugget", "--model", "exponential")
    assert code == 0
    assert VariogramFit.load(out / "fit.json").model == "exponential"
    assert "not as good by AIC: nugget" in told


def test_very_many_samples_are_sampled_and_it_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variogram_run, "MOST_FOR_ALL_PAIRS", COUNT - 1)
    monkeypatch.setattr(variogram_run, "SAMPLED_PAIRS", 20_000)
    out = folder / "out" / "sampled"
    code, told, error = run(capsys, folder / "embedded", "--out", out)
    assert code == 0
    assert "20,000 of their 124,750 pairs" in error
    assert "(sampled)" in told
    assert load_variogram(out / "variogram.json").provenance["pairs"] == 20_000


def test_the_seed_decides_which_pairs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def curve(seed: int) -> list[float]:
        words = (folder / "arrays.npz", "--out", folder / "out" / "seed", "--format", "json")
        told = run(capsys, *words, "--pairs", "2e4", "--seed", seed)[1]
        return json.loads(told)["variogram"]["semivariance"]

    assert curve(1) == curve(1)
    assert curve(1) != curve(2)


def test_progress_is_over_pairs(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []

    @contextmanager
    def recorded(what: str, *, unit: str) -> Generator[Any]:
        yield lambda done, total: seen.append((done, total))

    monkeypatch.setattr(variogram_run, "progress_of", recorded)
    assert run(capsys, folder / "cache", "--out", folder / "out" / "seen")[0] == 0
    assert seen[-1] == (124_750, 124_750)


def test_lag_classes_by_default_and_by_hand() -> None:
    placed = PlacedValues(place=np.array([[0.0, 0.0], [30.0, 40.0]]), values=np.zeros(2), kind="")
    world = lag_bins(BinsRequest(), placed, "great_circle")
    assert (len(world), world.edges[0], world.edges[-1]) == (40, 1.0, 20_016.0)
    metres = lag_bins(BinsRequest(count=3, last=9e5, unit="m"), placed, "great_circle")
    assert metres.edges[0] == pytest.approx(1000.0)
    assert metres.edges[-1] == pytest.approx(9e5)
    even = lag_bins(BinsRequest(even=300.0, count=3), placed, "great_circle")
    assert even.edges == (0.0, 100.0, 200.0, 300.0)
    named = lag_bins(BinsRequest(edges=(0.0, 5.0, 50.0), unit="m"), placed, "euclidean")
    assert (named.edges, named.unit) == ((0.0, 5.0, 50.0), "m")
    plane = lag_bins(BinsRequest(unit="m"), placed, "euclidean")
    assert (len(plane), plane.edges[0]) == (15, 0.0)
    assert plane.edges[-1] == pytest.approx(50.0 / 3)
    by_hand = lag_bins(BinsRequest(first=1.0, unit="m"), placed, "euclidean")
    assert by_hand.edges[-1] == pytest.approx(50.0 / 3)
    assert by_hand.edges[1] / by_hand.edges[0] == pytest.approx(by_hand.edges[2] / by_hand.edges[1])
    for wrong in (BinsRequest(even=3.0, last=5.0), BinsRequest(even=3.0, first=1.0)):
        with pytest.raises(ConfigError, match="even"):
            lag_bins(wrong, placed, "great_circle")
    with pytest.raises(ConfigError, match="first"):
        lag_bins(BinsRequest(last=5.0), placed, "euclidean")


def test_compare_tells_class_by_class(
    folder: Path, estimated: Path, capsys: pytest.CaptureFixture[str], features: np.ndarray
) -> None:
    embedded = Embedded.load(folder / "embedded")
    noise = np.random.default_rng(3).normal(0, 0.1, features.shape).astype(np.float32)
    other = Embedded(
        key=embedded.key,
        latlon_deg=embedded.latlon_deg,
        embedding=torch.from_numpy(features + noise),
        label=embedded.label,
    )
    other.save(folder / "noisy", model_fingerprint="m")
    out = folder / "out" / "noisy"
    assert run(capsys, folder / "noisy", "--out", out, "--dissimilarity", "squared")[0] == 0
    picture = folder / "out" / "both.png"
    code, told, error = run(capsys, "compare", estimated, out, "--out", picture)
    assert code == 0, error
    assert picture.is_file()
    assert "paired: the places are the same" in told
    assert "effective range" in told
    assert f"note: sources differ: {folder / 'embedded'} and {folder / 'noisy'}" in told
    code, told, _ = run(capsys, "compare", estimated, out, "--format", "json")
    assert code == 0
    tree = json.loads(told)
    assert tree["paired"] is True
    assert tree["picture"] is None
    classes = tree["classes"]
    one, two = (load_variogram(path / "variogram.json") for path in (estimated, out))
    np.testing.assert_allclose(
        classes["difference"], two.semivariance - one.semivariance, rtol=1e-9
    )
    # 24 * 0.1 ** 2 of noise lift the whole curve: what both curves share does not blur that
    far = -3
    assert classes["difference"][far] == pytest.approx(0.24, rel=0.2)
    assert classes["z"][far] == pytest.approx(
        classes["difference"][far] / classes["standard_error"][far]
    )
    apart = np.hypot(one.standard_error, two.standard_error)
    assert classes["standard_error"][far] < 0.6 * apart[far]


def test_of_other_places_errors_add_up(features: np.ndarray, places: np.ndarray) -> None:
    bins = LagBins.even(6, 20_016.0)
    halves = [
        estimate_variogram(places[part], features[part], bins=bins, groups=12)
        for part in (slice(0, COUNT // 2), slice(COUNT // 2, COUNT))
    ]
    found = difference_of(halves[0], halves[1])
    assert found is not None
    assert not found.paired
    np.testing.assert_allclose(
        found.standard_error, np.hypot(halves[0].standard_error, halves[1].standard_error)
    )
    other = estimate_variogram(places, features, bins=LagBins.even(5, 20_016.0))
    assert difference_of(halves[0], other) is None


def test_compare_refuses_what_does_not_compare(
    folder: Path, estimated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder / "out" / "cosine"
    assert run(capsys, folder / "embedded", "--out", out)[0] == 0
    code, _, error = run(capsys, "compare", estimated, out)
    assert (code, error) == (
        2,
        "geoloc: these variograms do not compare: dissimilarity squared and dissimilarity cosine\n",
    )
    robust = folder / "out" / "robust"
    words = ("--dissimilarity", "squared", "--estimator", "cressie")
    assert run(capsys, folder / "embedded", "--out", robust, *words)[0] == 0
    assert (
        "estimator matheron and estimator cressie" in run(capsys, "compare", estimated, robust)[2]
    )
    scalar = folder / "out" / "scalar"
    table = (folder / "table.csv", "--column", "height")
    assert run(capsys, *table, "--out", scalar)[0] == 0
    assert "features of length 24 and 1" in run(capsys, "compare", estimated, scalar)[2]
    coarse = folder / "out" / "coarse"
    words = ("--bins", 8, "--dissimilarity", "squared")
    assert run(capsys, folder / "embedded", "--out", coarse, *words)[0] == 0
    code, told, _ = run(capsys, "compare", estimated, coarse / "variogram.json")
    assert code == 0
    assert "the lag classes differ" in told


_EMPTY = ("empty.csv", "--metric", "euclidean", "--unit", "m")
_HERE = ("here.csv", "--metric", "euclidean", "--unit", "m")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["nowhere"], "there is nothing at nowhere"),
        ([""], "is no folder of geoloc embed"),
        (["table.csv"], "name the scalar with --column; .* has Latitude, lon, height"),
        (["table.csv", "--column", "depth"], "no column 'depth'"),
        (["plane.csv", "--column", "z"], "no columns 'latitude' among x, y .*--metric euclidean"),
        (["bad.csv", "--column", "height"], r"row 2: no number in 'height' \(2 rows of 3"),
        (["bad.npz"], "no array values, only latlon_deg"),
        (["short.npz"], r"shape \(3, 2\) and values of shape \(2, 4\)"),
        (["words.npz"], "must hold real numbers"),
        (["broken.npz"], "cannot be read as .npz"),
        (["embedded", "--column", "height"], "--column names a column of a table"),
        (["embedded", "--metric", "euclidean", "--unit", "m"], "use great circles"),
        (["plane.csv", "--column", "z", "--metric", "euclidean"], "euclidean needs --unit"),
        ([*_EMPTY, "--column", "z"], "empty.csv has no rows"),
        ([*_HERE, "--column", "z"], "all samples lie at one place"),
        ([*_HERE, "--column", "x1", "--log"], "row 1: -1 has no logarithm .2 rows of 3"),
        ([*_HERE, "--column", "z", "--lag-metric", "chord"], "--lag-metric is of the sphere"),
        (["embedded", "--log"], "--log is of one number a sample; embedded holds vectors"),
        (["embedded", "--max-lag", "0"], "--max-lag must exceed 0"),
        (["embedded", "--min-pairs", "0"], "--min-pairs must be at least 1"),
        (["embedded", "--edges", "0,near"], "--edges 0,near: lags between commas"),
        (["embedded", "--edges", "0,9,3"], "edges must increase"),
        (["embedded", "--edges", "0,9", "--bins", "3"], "--edges are all lag classes"),
        (["embedded", "--pairs", "some"], "--pairs some: all, or a whole number"),
        (["embedded", "--pairs", "0.5"], "--pairs 0.5"),
        (["embedded", "--unit", "day"], "great-circle lags are in km or m"),
        (["embedded", "--bins", "0"], "too few lag classes"),
        (["embedded", "--seed", "-1"], "seed must be at least 0"),
        (["embedded", "--model", "gaussain"], "gaussain"),
        (["embedded", "cache"], "one source at a time, not 2"),
        (["embedded", "--run", "nowhere"], "no such run folder"),
    ],
)
def test_errors_are_one_line(
    folder: Path,
    words: list[str],
    problem: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    Path("bad.csv").write_text("lat,lon,height\n1,2,3\n1,2,\n1,2,high\n")
    Path("empty.csv").write_text("x,y,z\n")
    Path("here.csv").write_text("x,y,z,x1\n1,2,3,-1\n1,2,4,0\n1,2,5,1\n")
    np.savez("bad.npz", latlon_deg=np.zeros((3, 2)))
    np.savez("short.npz", latlon_deg=np.zeros((3, 2)), values=np.zeros((2, 4)))
    np.savez("words.npz", latlon_deg=np.zeros((3, 2)), values=np.array(["a", "b", "c"]))
    Path("broken.npz").write_bytes(b"PK")
    code, _, error = run(capsys, *(words if words != [""] else [folder]), "--out", "out/wrong")
    assert code == 2
    assert error.startswith("geoloc: ")
    assert error.count("\n") == 1
    assert re.search(problem, error), error
    assert not Path("out/wrong").exists()


def test_a_file_in_the_way_is_seen_before_any_pair_is_computed(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variogram_run, "read_source", lambda *_, **__: pytest.fail("read"))
    table = folder / "table.csv"
    for out in (table, table / "below"):
        code, _, error = run(capsys, folder / "embedded", "--out", out)
        assert code == 2
        assert f"{table} is a file" in error


def test_options_of_the_fit_reach_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "out" / "options"
    words = (
        "--no-nugget",
        "--max-lag",
        3000,
        "--min-pairs",
        50,
        "--edges",
        "0,1000,2000,2500,5000",
    )
    code, told, error = run(capsys, folder / "embedded", "--out", out, *words)
    assert code == 0, error
    fit = VariogramFit.load(out / "fit.json")
    assert (fit.nugget, fit.nugget_fitted, fit.max_lag, fit.min_pairs) == (0.0, False, 3000.0, 50)
    assert load_variogram(out / "variogram.json").bins.edges == (0, 1000, 2000, 2500, 5000)
    assert len(fit.lag) == 3
    assert re.search(r"^nugget +0 +fixed$", told, re.MULTILINE)


def test_the_logarithm_of_a_number(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.read_csv(folder / "table.csv")
    frame["ore"] = np.exp(frame["height"])
    frame.to_csv(folder / "ore.csv", index=False)

    def curve(table: str, *words: object) -> dict[str, Any]:
        out = folder / "out" / "log"
        code, told, error = run(capsys, folder / table, "--out", out, "--format", "json", *words)
        assert code == 0, error
        assert VariogramFit.load(out / "fit.json").provenance["log"] is ("--log" in words)
        return json.loads(told)["variogram"]

    logarithm = curve("ore.csv", "--column", "ore", "--log")
    plain = curve("table.csv", "--column", "height")
    np.testing.assert_allclose(logarithm["semivariance"], plain["semivariance"], rtol=1e-9)
    assert (logarithm["provenance"]["column"], logarithm["provenance"]["log"]) == ("ore", True)


def test_where_no_errors_are_known_it_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder / "out" / "unsure"
    words = (folder / "arrays.npz", "--column", "first", "--out", out)
    told = run(capsys, *words, "--estimator", "median")[1]
    assert "no interval: the median leaves no group out" in told
    assert "95 % interval" not in told
    told = run(capsys, *words, "--groups", 1)[1]
    assert "no interval: one group" in told
    told = run(capsys, *words, "--groups", 5)[1]
    assert "note: intervals are rough with fewer than 10 groups" in told
    # as many pairs as there are is no sample
    assert "pairs (all)" in run(capsys, *words, "--pairs", 124_750)[1]


def test_a_sum_tells_its_parts_and_both_ranges(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder / "out" / "sum"
    words = (folder / "noisy.npz", "--out", out, "--model", "exponential+spherical")
    arrays = np.load(folder / "arrays.npz")
    noise = np.random.default_rng(0).normal(0.0, 0.15, arrays["values"].shape)
    values = arrays["values"] + noise
    np.savez(folder / "noisy.npz", latlon_deg=arrays["latlon_deg"], values=values)
    code, told, error = run(capsys, *words, "--dissimilarity", "squared")
    assert code == 0, error
    fit = VariogramFit.load(out / "fit.json")
    for place, each in enumerate(fit.structures, 1):
        assert re.search(rf"{place}: {each.model} sill +{number(each.partial_sill)}", told)
        assert f"{place}: {each.model} scale" in told
    words = (folder / "noisy.npz", "--out", out, "--model", "exponential")
    code, told, error = run(capsys, *words, "--dissimilarity", "squared")
    assert code == 0, error
    fit = VariogramFit.load(out / "fit.json")
    assert fit.practical_range > 1.02 * fit.effective_range
    assert re.search(rf"^effective range +{fit.effective_range:,.0f} km", told, re.MULTILINE)
    assert re.search(rf"without nugget +{fit.practical_range:,.0f} km", told)
    assert re.search(rf"^scale +{number(fit.scale)} km", told, re.MULTILINE)


def test_noise_says_first_that_there_is_no_structure(
    folder: Path, places: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    values = np.random.default_rng(5).normal(size=COUNT)
    np.savez(folder / "noise.npz", latlon_deg=places, values=values)
    told = run(capsys, folder / "noise.npz", "--out", folder / "out" / "noise")[1]
    lines = told.splitlines()
    first = next(row for row, line in enumerate(lines) if line.startswith("no structure"))
    assert first < next(row for row, line in enumerate(lines) if "model" in line)


def test_what_to_write_must_be_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--out DIR" in run(capsys, folder / "embedded")[2]
    assert "compare A B" in run(capsys, "compare", folder)[2]
    assert "is a .png" in run(capsys, "compare", folder, folder, "--out", folder / "x")[2]
    assert "no variogram at" in run(capsys, "compare", folder, folder)[2]
