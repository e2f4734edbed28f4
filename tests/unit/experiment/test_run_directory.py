import json
import subprocess
import sys

import pytest

from geoloc.errors import ConfigError, DataError
from geoloc.experiment.loading import load_config
from geoloc.experiment.run_directory import RunDirectory, held, open_run


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(f"name: x\nrun_dir: {tmp_path}/run\ndata: {{train: data/x}}\n")

    def load(*words):
        return load_config(path, words)

    return load


def begin(run):
    (run.checkpoints / "step-00000001").mkdir()


def test_a_new_run_records_what_it_is(config):
    run = open_run(config("seed=3"))
    record = run.read_record()
    assert record["finished"] is False
    assert record["seed"] == 3
    assert len(record["config_hash"]) == 64
    assert record["versions"]["torch"]
    assert run.config() == config("seed=3")
    assert not run.finished


def test_a_start_that_failed_before_its_first_checkpoint_does_not_burn_the_folder(config):
    open_run(config("data.train=typo"))
    run = open_run(config())
    assert run.config() == config()


def test_a_run_is_not_overwritten(config):
    begin(open_run(config()))
    with pytest.raises(ConfigError, match="resume=auto"):
        open_run(config())
    open_run(config("resume=auto"))


def test_a_resumed_run_must_be_the_same_experiment(config):
    begin(open_run(config()))
    with pytest.raises(ConfigError, match=r"negatives\.queue"):
        open_run(config("resume=auto", "negatives.queue=7"))


def test_one_process_at_a_time(config):
    run = open_run(config())
    code = (
        "import sys; from pathlib import Path; from geoloc.errors import ConfigError; "
        "from geoloc.experiment.run_directory import RunDirectory, held\n"
        "try:\n    with held(RunDirectory(path=Path(sys.argv[1]))): print('in')\n"
        "except ConfigError as error: print(error)"
    )

    def other():
        command = [sys.executable, "-c", code, str(run.path)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    with held(run):
        assert "another process" in other()
    assert other() == "in\n"


def test_updates_keep_what_was_known(config):
    run = open_run(config())
    run.update_record({"finished": True, "steps": 7})
    assert run.finished
    assert run.read_record()["name"] == "x"
    assert run.read_record()["steps"] == 7


@pytest.mark.parametrize("content", [None, "{", "[]x"])
def test_what_is_no_run_is_said_to_be_none(tmp_path, content):
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(DataError):
        RunDirectory(path=tmp_path).read_record()
    with pytest.raises(DataError, match="not a run"):
        RunDirectory(path=tmp_path).config()


def test_config_is_kept_as_yaml_and_json(config):
    run = open_run(config("optimizer.learning_rate=0.5"))
    assert load_config(run.path / "config.yaml") == run.config()
    tree = json.loads((run.path / "config.json").read_text())
    assert tree["optimizer"]["learning_rate"] == 0.5
