import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoloc.errors import ConfigError
from geoloc.experiment.loading import (
    config_hash,
    config_tree,
    config_yaml,
    load_config,
    resume_hash,
)

MINIMAL = "name: x\nrun_dir: runs/x\ndata: {train: data/x}\n"


@pytest.fixture
def write(tmp_path):
    def _write(text, name="config.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return _write


def test_defaults_are_the_papers_setting(write):
    config = load_config(write(MINIMAL))
    assert config.data.batch_size == 512
    assert config.negatives.queue == 4096
    assert config.optimizer.learning_rate == 3e-5
    assert config.optimizer.decay_per_epoch == 0.87
    assert config.model.location_encoder.sigmas == (1.0, 16.0, 256.0)


def test_numbers_without_a_point_are_numbers(write):
    config = load_config(write(MINIMAL), ["optimizer.learning_rate=3e-4"])
    assert config.optimizer.learning_rate == 3e-4


def test_words_that_yaml_1_1_takes_for_truth_values_stay_words(write):
    assert load_config(write(MINIMAL), ["name=no"]).name == "no"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimiser.kind=adam", "did you mean optimizer"),
        ("optimizer.learning_rat=1", "did you mean optimizer.learning_rate"),
        ("data.batch_size=0", "data.batch_size"),
        ("data.batch_size=many", "data.batch_size"),
        ("data.batch_size=1.5", "data.batch_size"),
        ("seed.x=1", "seed"),
        ("training.precision=fp8", "training.precision"),
        ("just-a-word", "section.key=value"),
        ("data=[", "not YAML"),
        ("resume=yes", "resume"),
    ],
)
def test_bad_overrides_name_the_key(write, override, message):
    with pytest.raises(ConfigError, match=message):
        load_config(write(MINIMAL), [override])


def test_missing_key_is_named(write):
    with pytest.raises(ConfigError, match="data"):
        load_config(write("name: x\nrun_dir: y\n"))


@pytest.mark.parametrize("text", ["", "- a\n", "a: [\n", "\x00"])
def test_files_that_are_no_configuration(write, text):
    with pytest.raises(ConfigError):
        load_config(write(text))


def test_no_such_file(tmp_path):
    with pytest.raises(ConfigError, match="cannot read"):
        load_config(tmp_path / "nowhere.yaml")


def test_base_files_lie_below_and_end_at_two(write):
    write(MINIMAL + "seed: 1\noptimizer: {learning_rate: 1e-3, clip_norm: 1.0}\n", "a.yaml")
    write("base: a.yaml\nseed: 2\noptimizer: {learning_rate: 1e-2}\n", "b.yaml")
    config = load_config(write("base: b.yaml\nname: c\n", "c.yaml"))
    assert (config.seed, config.name) == (2, "c")
    assert config.optimizer.learning_rate == 1e-2
    assert config.optimizer.clip_norm == 1.0
    with pytest.raises(ConfigError, match="deep"):
        load_config(write("base: c.yaml\n", "d.yaml"))


@pytest.mark.parametrize("name", ["stations.csv", "field.NPZ", "stations.parquet"])
def test_data_in_the_place_of_settings_are_told_so(write, name):
    with pytest.raises(ConfigError, match=rf"{name} is data: name a YAML file of settings"):
        load_config(write("lat,lon\n1,2\n", name))


def test_contradictions_are_refused(write):
    words = ["data.cache_features=true", "model.frozen_backbone=false"]
    with pytest.raises(ConfigError, match="frozen_backbone"):
        load_config(write(MINIMAL), words)
    words = ["data.cache_features=true", "data.augmentation.flip_probability=0.5"]
    with pytest.raises(ConfigError, match="cached_views is above 1"):
        load_config(write(MINIMAL), words)
    varied = load_config(write(MINIMAL), [*words, "data.cached_views=3"])
    assert varied.data.cached_views == 3
    for words in (["data.cache_features=true", "data.cached_views=3"], ["data.cached_views=3"]):
        with pytest.raises(ConfigError, match="cached_views"):
            load_config(write(MINIMAL), words)


def test_hash_ignores_where_and_sees_what(write):
    path = write(MINIMAL)
    plain = config_hash(load_config(path))
    assert config_hash(load_config(path, ["run_dir=elsewhere", "resume=auto"])) == plain
    assert config_hash(load_config(path, ["seed=1"])) != plain
    watched = ["data.worker_timeout_s=9", "training.stall_warning_s=null"]
    assert config_hash(load_config(path, [*watched, "training.trace_samples=true"])) == plain
    # The workers of the beginning decide the order, so they are part of the result; those of a
    # run that goes on decide nothing.
    more = load_config(path, ["data.workers=7"])
    assert config_hash(more) != plain
    assert resume_hash(more) == resume_hash(load_config(path)) != plain
    assert resume_hash(load_config(path, ["seed=1"])) != resume_hash(more)


@given(
    rate=st.floats(1e-12, 1e3),
    batch=st.integers(1, 10**6),
    sigmas=st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=4),
)
def test_resolved_yaml_reads_back_equal(tmp_path_factory, rate, batch, sigmas):
    folder = tmp_path_factory.mktemp("yaml")
    path = folder / "a.yaml"
    path.write_text(MINIMAL)
    words = [
        f"optimizer.learning_rate={json.dumps(rate)}",
        f"data.batch_size={batch}",
        f"model.location_encoder.sigmas={json.dumps(sigmas)}",
    ]
    config = load_config(path, words)
    assert config.optimizer.learning_rate == rate
    again = folder / "b.yaml"
    again.write_text(config_yaml(config))
    assert load_config(again) == config
    assert config_tree(load_config(again)) == config_tree(config)
