from __future__ import annotations

import json

import pytest

from geoloc.cli import main
from geoloc.errors import ConfigError, DataError
from geoloc.evaluation.calibration_file import Calibration
from geoloc.experiment.calibrate_run import CalibrationRequest, calibrate_run
from geoloc.inference import Geolocator


@pytest.fixture
def validation(tmp_path, make_shards):
    make_shards(tmp_path / "val", 12, seed=3)
    return str(tmp_path / "val")


def _calibrate(run, **asked):
    return calibrate_run(CalibrationRequest(run_folder=run.path, **asked), say=lambda _: None)


def test_what_is_written_is_what_queries_use(make_run, validation, tmp_path):
    run = make_run()
    report, folder = _calibrate(run, validation=validation, level=0.7)
    assert folder == run.path / "calibration" / "training-places"
    assert (folder / "reliability.png").stat().st_size > 10_000
    told = json.loads((folder / "calibration.json").read_text())
    assert told == json.loads(json.dumps(report.to_json()))
    assert told["level"] == 0.7
    assert told["radius"]["levels"] == [0.5, 0.7, 0.8, 0.9, 0.95]
    # Eleven of twelve are the most that twelve images can promise.
    assert told["radius"]["thresholds"]["all"][-1] is None
    assert told["validation"]["count"] == 12
    (test,) = told["tests"]
    assert (test["split"], test["count"]) == ("easy", 6)
    assert [each["radius_km"] for each in test["calibrated"]] == [25.0, 200.0, 750.0, 2500.0]
    assert {line["level"] for line in test["coverage"]} == {0.5, 0.7, 0.8, 0.9, 0.95}
    assert told["temperature"]["scale"] == told["scale"]

    geolocator = Geolocator.load(run.path)
    assert geolocator.calibration == Calibration.load(folder)


def test_the_command_prints_both_tables_and_calibrates_any_gallery(make_run, validation, capsys):
    run = make_run()
    asked = ["calibrate", str(run.path), "--validation", validation, "--gallery", "even-land"]
    assert main([*asked, "--block-km", "2000", "--score", "scaled"]) == 0
    text = capsys.readouterr().out
    assert "fitted on 12 images of" in text
    assert "trained -> calibrated" in text
    assert "for new blocks" in text
    assert str(run.path / "calibration" / "even-land") in text
    assert main([*asked, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["gallery"] == "even-land"


def test_nothing_is_measured_on_what_it_was_fitted_on(make_run, make_shards, validation, tmp_path):
    run = make_run()
    with pytest.raises(ConfigError, match="names no validation split"):
        _calibrate(run)
    for name, message in (("test", "is the test split easy"), ("train", "is the training split")):
        with pytest.raises(ConfigError, match=message):
            _calibrate(run, validation=f"{tmp_path / name}/", tests=(f"other={validation}",))
    with pytest.raises(ConfigError, match="is the test split again"):
        _calibrate(run, validation=validation, tests=(f"again={validation}",))
    # The same samples under another name.
    make_shards(tmp_path / "copy", 4, seed=3)
    with pytest.raises(DataError, match="4 of the 4 samples of copy are in"):
        _calibrate(run, validation=validation, tests=(str(tmp_path / "copy"),))
    assert not (run.path / "calibration").exists()


def test_levels_and_blocks_that_cannot_be_are_refused(make_run, validation):
    run = make_run()
    with pytest.raises(ConfigError, match="--level 90"):
        _calibrate(run, validation=validation, level=90.0)
    with pytest.raises(ConfigError, match="--block-km 0"):
        _calibrate(run, validation=validation, block_km=0.0)
