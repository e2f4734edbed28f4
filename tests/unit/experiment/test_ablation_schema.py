"""What a study may ask for, and how one that contradicts itself is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from geoloc.errors import ConfigError
from geoloc.experiment.ablation_schema import arm_config, load_ablation

EXPERIMENT = """
name: x
run_dir: runs/x
data: {train: data/x, cache_features: true, tests: {easy: data/easy}}
negatives: {queue: 7}
"""
STUDY = """
name: study
experiment: run.yaml
change: {training.threads: 1}
arms:
  all: {negatives.rule: all}
  near: {negatives.rule: distance, negatives.near_km: 150.0}
seeds: [3, 4]
baselines: [all]
"""


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    (tmp_path / "run.yaml").write_text(EXPERIMENT)
    path = tmp_path / "study.yaml"
    path.write_text(STUDY)
    return path


def test_an_arm_is_the_experiment_with_its_keys_changed(study_file: Path, tmp_path: Path) -> None:
    study = load_ablation(study_file)
    config = arm_config(study, "near", 4, out=tmp_path / "out")
    assert (config.negatives.rule, config.negatives.near_km) == ("distance", 150.0)
    assert (config.negatives.queue, config.training.threads, config.seed) == (7, 1, 4)
    assert config.run_dir == tmp_path / "out/runs/near-seed4"
    assert config.resume == "auto"
    plain = arm_config(study, "all", 4, out=tmp_path / "out")
    assert (
        plain.model_copy(update={"negatives": config.negatives, "run_dir": config.run_dir})
        == config
    )


def test_words_change_the_study(study_file: Path, tmp_path: Path) -> None:
    words = ["seeds=[1,2,3]", "jobs=1", "arms.near.negatives.near_km=90.0", "change.seed_x=1"]
    study = load_ablation(study_file, words[:3])
    assert (study.seeds, study.jobs) == ((1, 2, 3), 1)
    assert arm_config(study, "near", 1, out=tmp_path).negatives.near_km == 90.0
    with pytest.raises(ConfigError, match="no key seed_x"):
        arm_config(load_ablation(study_file, words), "all", 1, out=tmp_path)


def test_an_arm_may_be_written_in_sections(study_file: Path) -> None:
    nested = "arms: {all: {}, near: {negatives: {rule: distance, near_km: 1e2}}}"
    study_file.write_text(STUDY.split("arms:")[0] + nested + "\nbaselines: [all]\n")
    arms = load_ablation(study_file).arms
    assert arms == {"all": {}, "near": {"negatives.rule": "distance", "negatives.near_km": 100.0}}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["seed=[1]"], "no key seed in a study"),
        (["seeds=[]"], "at least one seed"),
        (["seeds=[1,1]"], "no seed twice"),
        (["seeds=[-1]"], "seeds.0"),
        (["seeds=1"], "seeds"),
        (["baselines=[distance]"], "distance is no arm"),
        (["baselines=[]"], "one baseline or two"),
        (["baselines=[all,all]"], "one baseline or two"),
        (["arms={all: {}}"], "at least two arms"),
        (["arms=[]"], "arms"),
        (["arms.a/b={}"], "arm 'a/b'"),
        (["arms.near.seed=1"], "arm near changes seed"),
        (["arms.near.run_dir=x"], "arm near changes run_dir"),
        (["arms.near.data.train=x"], "arm near changes data.train"),
        (["arms.near.data.tests.easy=x"], "arm near changes data.tests.easy"),
        (["arms.near.training.epochs=1"], "arm near changes training.epochs"),
        (["change.resume=never"], "change changes resume"),
        (["block_km=0.0"], "block_km"),
        (["gallery=nowhere"], "gallery"),
        (["jobs=0"], "jobs"),
    ],
)
def test_studies_that_cannot_be(study_file: Path, words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_ablation(study_file, words)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("arms.near.negatives.rul=all", r"arm near: .*negatives.rul; did you mean negatives.rule"),
        ("arms.near.negatives.rule=none", "arm near: negatives.rule"),
        ("arms.near.negatives.near_km=-1.0", "arm near: negatives.near_km"),
        ("arms.near.data.cache_features=maybe", "arm near: data.cache_features"),
    ],
)
def test_an_impossible_arm_is_named(
    study_file: Path, tmp_path: Path, word: str, message: str
) -> None:
    study = load_ablation(study_file, [word])
    with pytest.raises(ConfigError, match=message):
        arm_config(study, "near", 3, out=tmp_path)


def test_a_study_without_its_experiment(study_file: Path, tmp_path: Path) -> None:
    study = load_ablation(study_file, ["experiment=elsewhere.yaml"])
    with pytest.raises(ConfigError, match=r"cannot read configuration .*elsewhere"):
        arm_config(study, "all", 3, out=tmp_path)
