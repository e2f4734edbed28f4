"""The house rules that no linter knows: lengths, names, closed tops, true configs."""

import ast
import configparser
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from geoloc.experiment.ablation_schema import arm_config, load_ablation
from geoloc.experiment.cells_schema import CellsConfig
from geoloc.experiment.cluster_schema import ClusterConfig
from geoloc.experiment.downscaling_schema import DownscalingConfig
from geoloc.experiment.krige_schema import KrigeConfig
from geoloc.experiment.loading import config_tree, load_config, load_section, read_tree
from geoloc.experiment.pseudo_label_schema import PseudoLabelConfig
from geoloc.experiment.schema import Section
from geoloc.experiment.service_config import load_service_settings
from geoloc.experiment.spacetime_schema import SpaceTimeConfig
from geoloc.negatives import RuleName

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "geoloc").rglob("*.py"))
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))
SERVICES = [path for path in CONFIGS if path.stem == "serve"]
STUDIES = [path for path in CONFIGS if "arms" in read_tree(path)]
TUNING = [path for path in STUDIES if path.stem.startswith("tuning")]
# the settings of each system beside the geolocalizer; its smoke twin has the same name
SYSTEMS: dict[str, type[Section]] = {
    "downscaling": DownscalingConfig,
    "geocells": CellsConfig,
    "kriging": KrigeConfig,
    "mcgta": ClusterConfig,
    "pseudolabels": PseudoLabelConfig,
    "spacetime": SpaceTimeConfig,
    "spacetime_temperature": SpaceTimeConfig,
}
SYSTEM_CONFIGS = [path for path in CONFIGS if path.stem in SYSTEMS]
ARMS = set(get_args(RuleName))
MEANINGLESS = {"utils", "util", "misc", "helpers", "common", "base", "manager"}


def functions(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_lengths_and_names(path):
    assert len(path.read_text().splitlines()) <= 300
    assert path.stem not in MEANINGLESS
    for function in functions(path):
        lines = function.end_lineno - function.lineno + 1
        assert lines <= 60, f"{function.name} has {lines} lines"
        positional = [a for a in function.args.args if a.arg not in {"self", "cls"}]
        assert len(positional) <= 4, f"{function.name} takes {len(positional)} positional arguments"


def test_entry_scripts_only_call_the_command_line():
    for name in ("train.py", "eval.py"):
        assert len((ROOT / name).read_text().splitlines()) <= 12


def test_top_level_holds_only_what_it_should():
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    top = {Path(name).parts[0] for name in listed}
    assert {name for name in top if name.endswith(".py")} <= {"train.py", "eval.py"}


def test_one_owner_of_the_earth_radius():
    owners = {
        str(path.relative_to(ROOT))
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and node.value in {6371, 6378.137, 6371.0088}
    }
    assert owners <= {"geoloc/geodesy/distance.py"}


def test_what_crosses_processes_goes_through_ranks():
    def names(path):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            elif isinstance(node, ast.Attribute):
                yield ast.unparse(node)

    users = {
        str(path.relative_to(ROOT))
        for path in SOURCES
        if any(name.startswith("torch.distributed") for name in names(path))
    }
    assert users == {"geoloc/ranks.py", "geoloc/experiment/processes.py"}


@pytest.mark.parametrize("path", sorted({*STUDIES} - {*TUNING}), ids=lambda p: p.stem)
def test_every_study_has_the_arms_and_each_is_a_config(path, tmp_path):
    study = load_ablation(path)
    assert set(study.arms) >= ARMS
    rules = {arm: arm_config(study, arm, 0, out=tmp_path).negatives.rule for arm in ARMS}
    assert rules == {arm: arm for arm in ARMS}


@pytest.mark.parametrize("path", TUNING, ids=lambda p: p.stem)
def test_tuning_never_looks_at_the_data_of_a_study(path, tmp_path):
    tuned = load_ablation(path)
    for arm in tuned.arms:
        config = arm_config(tuned, arm, 0, out=tmp_path)
        assert config.data.make_earth_tiles == Path("data/earth_tiles_tuning")
        assert all("/earth_tiles_tuning/" in shards for shards in config.data.tests.values())
    seeds = {
        arm_config(load_ablation(other), "all", 0, out=tmp_path).data.earth_tiles.seed
        for other in {*STUDIES} - {*TUNING}
    }
    assert config.data.earth_tiles.seed not in seeds


@pytest.mark.parametrize("path", SYSTEM_CONFIGS, ids=lambda p: f"{p.parent.stem}-{p.stem}")
def test_every_system_config_loads_and_has_a_twin(path):
    config = load_section(path, (), SYSTEMS[path.stem])
    assert SYSTEMS[path.stem].model_validate_json(config.model_dump_json()) == config
    assert {each.parent.stem for each in CONFIGS if each.stem == path.stem} == {"systems", "smoke"}


@pytest.mark.parametrize(
    "path",
    sorted({*CONFIGS} - {*STUDIES, *SERVICES, *SYSTEM_CONFIGS}),
    ids=lambda p: p.stem,
)
def test_every_config_loads_and_reads_back_equal(path, tmp_path):
    import yaml

    config = load_config(path)
    resolved = tmp_path / "resolved.yaml"
    resolved.write_text(yaml.safe_dump(config_tree(config)))
    assert load_config(resolved) == config


@pytest.mark.parametrize("path", SERVICES, ids=lambda p: p.stem)
def test_every_service_config_loads(path):
    assert load_service_settings(path).host == "127.0.0.1"


def test_licences_of_dependencies_allow_mit():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    required = setup["options"]["install_requires"].lower()
    for copyleft in ("gstools", "eofs", "geoclip", "basemap"):
        assert copyleft not in required


def test_light_rooms_import_light():
    code = (
        "import sys, geoloc, geoloc.geodesy, geoloc.cli; "
        "heavy = {'timm', 'open_clip', 'faiss', 'geopandas', 'matplotlib', 'torchvision'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
