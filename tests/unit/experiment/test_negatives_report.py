from __future__ import annotations

import dataclasses
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from geoloc.data import Record, ShardWriter
from geoloc.errors import DataError
from geoloc.experiment import negatives_report
from geoloc.experiment.negatives_report import HeldOutSample, MethodCost, NegativesReporter
from geoloc.experiment.thumbnails import thumbnails
from geoloc.geostatistics import gaussian_field, load_variogram
from geoloc.geostatistics.variogram_fit import VariogramFit
from geoloc.negatives.diagnosis import judge_pairs
from geoloc.negatives.flag_ledger import flag_churn
from geoloc.negatives.refit import RefitSettings, fit_expectation
from geoloc.negatives.rules import RuleSettings, build_rule
from geoloc.training import JsonLinesSink, TensorBoardSink
from geoloc.training.telemetry import PictureSink

RULE = build_rule("semivariogram", RuleSettings(near_km=500.0))
SEED = 7


@dataclasses.dataclass(frozen=True)
class Epoch:
    expectation: object
    sample: HeldOutSample


@pytest.fixture(scope="module")
def epochs(clustered_places):
    """Three epochs of a world whose features move: even rows are fitted to, odd ones held out."""
    latlon_deg = clustered_places(500, seed=2)
    fields = gaussian_field(
        latlon_deg,
        lambda lag: torch.exp(-lag / 700.0),
        generator=torch.Generator().manual_seed(0),
        features=16,
        fields=2,
    ).float()
    made = []
    for share in (0.1, 0.5, 0.7):
        feature = (1.0 - share) * fields[0] + share * fields[1] + 0.1
        sample = HeldOutSample(
            key=tuple(f"k{row}" for row in range(1, 500, 2)),
            latlon_deg=latlon_deg[1::2].copy(),
            feature=feature[1::2],
            label=tuple({"city": f"Town {row}", "country": "XX"} for row in range(1, 500, 2)),
        )
        fit = fit_expectation(
            latlon_deg[::2].copy(), feature[::2], RefitSettings(samples=250), seed=0
        )
        made.append(Epoch(expectation=fit, sample=sample))
    return made


def reporter_in(folder: Path, **words) -> NegativesReporter:
    return NegativesReporter(folder, RULE, name="semivariogram", seed=SEED, **words)


@pytest.fixture
def quick_picture(monkeypatch: pytest.MonkeyPatch):
    """In place of the picture, which takes a second, what it would show of earlier epochs."""

    def draw(history, variogram, zones, *, rule):
        told = [(each.epoch, each.churn, each.cost_share) for each in history]
        return b"\x89PNG" + repr((told, len(variogram), sorted(zones), rule)).encode()

    monkeypatch.setattr(negatives_report, "negatives_figure_png", draw)


def flags_of(epoch: Epoch):
    sample = epoch.sample
    pairs = judge_pairs(sample.latlon_deg, sample.feature, epoch.expectation, RULE, seed=SEED)
    return {kind: pairs.flagged(kind).numpy() for kind in ("false", "hard")}


def read(folder: Path, epoch: int):
    return json.loads((folder / f"epoch-{epoch:03d}.json").read_text())


def test_each_epoch_is_written_and_a_resumed_run_goes_on(tmp_path: Path, epochs):
    folder = tmp_path / "negatives"
    first = reporter_in(folder)
    cost = MethodCost(refit_s=2.0, epoch_s=40.0)
    found = first.epoch_done(1, epochs[0].expectation, epochs[0].sample, cost=cost)
    assert found.scalars["negatives/cost_share"] == 0.05
    assert math.isnan(found.scalars["negatives/churn_hard"])
    fit = epochs[0].expectation.fit
    assert found.scalars["negatives/effective_range_km"] == fit.effective_range
    assert found.scalars["negatives/sill"] == fit.sill
    assert (folder / "variogram.png").read_bytes() == found.picture_png
    second = reporter_in(folder)
    found = second.epoch_done(2, epochs[1].expectation, epochs[1].sample)
    churn = flag_churn(flags_of(epochs[0]), flags_of(epochs[1]))
    assert 0.0 < churn.false < 1.0
    assert found.scalars["negatives/churn_false"] == churn.false
    assert found.scalars["negatives/churn_hard"] == churn.hard
    tree = read(folder, 2)
    assert tree["churn"] == {"false": churn.false, "hard": churn.hard}
    assert tree["cost"] is None
    assert read(folder, 1)["cost"] == {"refit_s": 2.0, "epoch_s": 40.0}
    assert VariogramFit.from_json(tree["fit"]).sill == epochs[1].expectation.fit.sill
    (tmp_path / "v.json").write_text(json.dumps(tree["variogram"]))
    lag = load_variogram(tmp_path / "v.json").lag
    assert np.array_equal(lag, epochs[1].expectation.variogram.lag)
    page = (folder / "report.html").read_text()
    assert "epoch 2" in page
    assert "<tr><td>1</td>" in page


@pytest.mark.usefixtures("quick_picture")
def test_epochs_done_again_replace_the_old_ones(tmp_path: Path, epochs):
    straight, broken = tmp_path / "a", tmp_path / "b"
    for folder in (straight, broken):
        reporter = reporter_in(folder)
        for number, each in enumerate(epochs):
            reporter.epoch_done(number, each.expectation, each.sample)
    reporter = reporter_in(broken)
    reporter.epoch_done(1, epochs[1].expectation, epochs[1].sample)
    assert sorted(path.name for path in broken.glob("epoch-*")) == [
        "epoch-000.json",
        "epoch-001.json",
    ]
    reporter.epoch_done(2, epochs[2].expectation, epochs[2].sample)
    names = sorted(path.name for path in straight.iterdir())
    assert names == sorted(path.name for path in broken.iterdir())
    for name in names:
        assert (straight / name).read_bytes() == (broken / name).read_bytes(), name


@pytest.mark.usefixtures("quick_picture")
def test_flags_of_the_last_three_epochs_are_kept(tmp_path: Path, epochs):
    reporter = reporter_in(tmp_path)
    for number in (8, 9, 998, 999, 1000):
        reporter.epoch_done(number, epochs[0].expectation, epochs[0].sample)
    kept = sorted(path.name for path in tmp_path.glob("flags-*"))
    assert kept == [f"flags-{number}.safetensors" for number in (1000, 998, 999)]
    assert read(tmp_path, 1000)["churn"] == {"false": 0.0, "hard": 0.0}


@pytest.mark.usefixtures("quick_picture")
def test_pairs_of_other_samples_have_no_churn(tmp_path: Path, epochs):
    reporter = reporter_in(tmp_path)
    reporter.epoch_done(0, epochs[0].expectation, epochs[0].sample)
    renamed = tuple(f"other-{key}" for key in epochs[1].sample.key)
    sample = dataclasses.replace(epochs[1].sample, key=renamed)
    reporter.epoch_done(1, epochs[1].expectation, sample)
    assert read(tmp_path, 1)["churn"] is None


@pytest.mark.usefixtures("quick_picture")
def test_the_ledger_names_keys_places_and_images(tmp_path: Path, epochs):
    asked: list[list[str]] = []
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), (1, 2, 3)).save(buffer, "JPEG")

    def some(keys):
        asked.append(list(keys))
        return {key: buffer.getvalue() for key in keys if not key.endswith("7")}

    reporter = reporter_in(tmp_path, thumbnails=some)
    reporter.epoch_done(0, epochs[0].expectation, epochs[0].sample)
    ledger = read(tmp_path, 0)["ledger"]
    assert len(ledger["false"]) == 12
    keys = {side["key"] for pairs in ledger.values() for p in pairs for side in _sides(p)}
    assert set(asked[0]) == keys
    sample = epochs[0].sample
    for pair in ledger["false"]:
        for side in _sides(pair):
            row = sample.key.index(side["key"])
            assert side["latlon_deg"] == sample.latlon_deg[row].tolist()
            assert side["name"] == f"Town {2 * row + 1}, XX"
        assert pair["lag_km"] <= 500.0
    page = (tmp_path / "report.html").read_text()
    shown = 2 * sum(len(pairs) for pairs in ledger.values())
    without = sum(
        side["key"].endswith("7") for pairs in ledger.values() for p in pairs for side in _sides(p)
    )
    assert page.count("data:image/jpeg") == shown - without > 0
    reporter.epoch_done(1, epochs[0].expectation, epochs[0].sample)
    assert asked[1] == sorted(key for key in keys if key.endswith("7"))


def _sides(pair):
    return pair["query"], pair["candidate"]


@pytest.mark.usefixtures("quick_picture")
def test_a_damaged_file_of_an_earlier_epoch_is_named(tmp_path: Path, epochs):
    reporter = reporter_in(tmp_path)
    reporter.epoch_done(0, epochs[0].expectation, epochs[0].sample)
    path = tmp_path / "epoch-000.json"
    content = json.loads(path.read_text())
    for damage in ({"fit": {}}, {"kind": "x"}, {"diagnosis": 3}):
        path.write_text(json.dumps({**content, **damage}))
        with pytest.raises(DataError, match="epoch-000"):
            reporter_in(tmp_path)
    path.write_text(json.dumps(content))
    (tmp_path / "flags-000.safetensors").write_bytes(b"nonsense")
    with pytest.raises(DataError, match="flags-000"):
        reporter_in(tmp_path).epoch_done(1, epochs[1].expectation, epochs[1].sample)


def test_numbers_go_to_all_sinks_and_the_picture_to_tensorboard(tmp_path: Path, epochs):
    found = reporter_in(tmp_path / "n").epoch_done(0, epochs[0].expectation, epochs[0].sample)
    sinks = [TensorBoardSink(tmp_path / "tb"), JsonLinesSink(tmp_path / "m.jsonl")]
    assert [isinstance(sink, PictureSink) for sink in sinks] == [True, False]
    found.send(20, sinks)
    for sink in sinks:
        sink.close()
    line = json.loads((tmp_path / "m.jsonl").read_text())
    assert line["step"] == 20
    assert line["negatives/share_hard"] == found.scalars["negatives/share_hard"]
    assert line["negatives/churn_hard"] is None
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "tb")).Reload()
    (image,) = events.Images("negatives/variogram")
    assert (image.step, image.width, image.height) == (20, 1800, 1000)
    shown = Image.open(io.BytesIO(image.encoded_image_string)).convert("RGB")
    drawn = Image.open(io.BytesIO(found.picture_png)).convert("RGB")
    assert np.array_equal(np.asarray(shown), np.asarray(drawn))


def test_the_cost_of_no_time_is_not_known():
    assert math.isnan(MethodCost(refit_s=1.0, epoch_s=0.0).share)


def test_thumbnails_are_small_bare_and_found_by_key(tmp_path: Path):
    def jpeg(shade: int) -> bytes:
        image = Image.new("RGB", (300, 150), (shade, 0, 0))
        image.getexif()[0x010F] = "Camera of somebody"
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", exif=image.getexif())
        return buffer.getvalue()

    for part in range(2):
        with ShardWriter(tmp_path / f"s{part}") as writer:
            for number in range(5):
                record = Record(
                    key=f"a.b/{part}-{number}",
                    image_bytes=jpeg(40 * number + 20 * part),
                    latlon_deg=(float(number), 0.0),
                )
                writer.write(record)
    tars = sorted(tmp_path.glob("*/*.tar"))
    joined = tmp_path / "all"
    joined.mkdir()
    for number, tar in enumerate(tars):
        tar.rename(joined / f"{number}.tar")
    (joined / "2.tar").write_bytes(b"no tar at all")
    found = thumbnails(str(joined), ["a.b/0-3", "a.b/1-4", "absent"], side_px=60)
    assert set(found) == {"a.b/0-3", "a.b/1-4"}
    image = Image.open(io.BytesIO(found["a.b/1-4"]))
    assert (image.format, image.size) == ("JPEG", (60, 30))
    assert len(image.getexif()) == 0
    red = np.asarray(image)[..., 0].mean()
    assert red == pytest.approx(180, abs=3)
    assert thumbnails(str(joined), []) == {}


def test_a_damaged_image_has_no_thumbnail_and_time_is_kept(tmp_path: Path):
    with ShardWriter(tmp_path / "s") as writer:
        for number in range(3):
            buffer = io.BytesIO()
            Image.new("RGB", (20, 20), (number, 0, 0)).save(buffer, "JPEG")
            content = buffer.getvalue() if number else buffer.getvalue()[:60]
            writer.write(Record(key=f"k{number}", image_bytes=content, latlon_deg=(1.0, 1.0)))
    keys = ["k0", "k1", "k2"]
    assert set(thumbnails(str(tmp_path / "s"), keys)) == {"k1", "k2"}
    assert len(thumbnails(str(tmp_path / "s"), keys, limit_s=-1.0)) <= 1
