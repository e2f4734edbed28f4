"""The configuration of a study: one experiment, its arms and its seeds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import Field, ValidationError, model_validator

from geoloc.errors import ConfigError
from geoloc.experiment.loading import apply_override, config_from_tree, explain, read_tree
from geoloc.experiment.schema import Count, CountOrZero, ExperimentConfig, Positive, Section

Value = bool | int | float | str | None

_OF_THE_STUDY = ("run_dir", "seed", "resume")
_SHARED = (
    "name",
    "data.train",
    "data.validation",
    "data.tests",
    "data.make_earth_tiles",
    "data.earth_tiles",
    "training.epochs",
)


class AblationConfig(Section):
    """A study: the same experiment with some keys changed (arms), each with several seeds.

    `experiment`: the file of the experiment, relative to the study's, whose keys every arm shares.
    `change`: keys of it that are different for all arms. `arms`: by name, the keys that make the
    arm. `baselines`: arms that all are compared with. `gallery`: the places that answers are.
    `block_km`: side of the blocks of the bootstrap. `jobs`: runs at once, sharing the cores; null
    is two on CPUs and one on a GPU.
    """

    name: str
    experiment: Path
    change: dict[str, Value] = Field(default_factory=dict)
    arms: dict[str, dict[str, Value]]
    seeds: tuple[CountOrZero, ...] = (0, 1, 2)
    baselines: tuple[str, ...] = ("all", "distance")
    gallery: Literal["training-places", "even-land"] = "training-places"
    block_km: Positive = 500.0
    resamples: Count = 2000
    jobs: Count | None = None

    @model_validator(mode="after")
    def _agree(self) -> AblationConfig:
        unknown = [name for name in self.baselines if name not in self.arms]
        if unknown:
            raise ValueError(f"baseline {unknown[0]} is no arm (arms: {', '.join(self.arms)})")
        if not 1 <= len(set(self.baselines)) == len(self.baselines) <= 2:
            raise ValueError("name one baseline or two")
        if len(self.arms) < 2:
            raise ValueError("a study has at least two arms, one of them the baseline")
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise ValueError("give at least one seed, and no seed twice")
        _refuse_keys("change", self.change, _OF_THE_STUDY)
        for arm, keys in self.arms.items():
            _refuse_keys(f"arm {arm}", keys, (*_OF_THE_STUDY, *_SHARED))
        odd = [name for name in self.arms if not name.replace("_", "").replace("-", "").isalnum()]
        if odd:
            raise ValueError(f"arm {odd[0]!r}: letters, digits, '-' and '_' only")
        return self


def load_ablation(path: Path, overrides: Iterable[str] = ()) -> AblationConfig:
    """Read a study's file, with `key=value` words over it.

    Raises:
        ConfigError: the file is missing or no mapping, a key is unknown, or a value impossible.
    """
    tree = read_tree(path)
    for word in overrides:
        apply_override(tree, word)
    unknown = sorted(set(tree) - set(AblationConfig.model_fields))
    if unknown:
        known = ", ".join(AblationConfig.model_fields)
        raise ConfigError(f"{path}: there is no key {unknown[0]} in a study (keys: {known})")
    if isinstance(tree.get("change"), dict):
        tree["change"] = _dotted(tree["change"])
    if isinstance(tree.get("arms"), dict):
        tree["arms"] = {arm: _dotted(keys) for arm, keys in tree["arms"].items()}
    try:
        study = AblationConfig.model_validate_json(json.dumps(tree))
    except (ValidationError, TypeError) as error:
        raise ConfigError(f"{path}: {explain(error)}") from None
    return study.model_copy(update={"experiment": (path.parent / study.experiment).resolve()})


def arm_config(study: AblationConfig, arm: str, seed: int, *, out: Path) -> ExperimentConfig:
    """The experiment of one arm and seed; its run lies in `out`/runs/ARM-seedN.

    Raises:
        ConfigError: the arm names a key that does not exist, or an impossible value.
    """
    tree: dict[str, Any] = read_tree(study.experiment)
    own = {"run_dir": str(out / "runs" / f"{arm}-seed{seed}"), "seed": seed, "resume": "auto"}
    for key, value in {**study.change, **study.arms[arm], **own}.items():
        apply_override(tree, f"{key}={json.dumps(value)}")
    return config_from_tree(tree, where=f"{study.name}, arm {arm}")


def _refuse_keys(where: str, keys: Mapping[str, Value], refused: tuple[str, ...]) -> None:
    for key in keys:
        if any(key == each or key.startswith(f"{each}.") for each in refused):
            raise ValueError(f"{where} changes {key}, but arms share data, budget and seeds")


def _dotted(keys: object, prefix: str = "") -> Any:
    """Sections within sections as dotted keys; anything that is no mapping as it is."""
    if not isinstance(keys, dict):
        return keys
    flat: dict[str, Any] = {}
    for key, value in cast("dict[str, Any]", keys).items():
        inside = isinstance(value, dict) and bool(value)
        flat.update(_dotted(value, f"{prefix}{key}.") if inside else {f"{prefix}{key}": value})
    return flat
