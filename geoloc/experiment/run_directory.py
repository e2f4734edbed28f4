"""The folder of one run: what it was asked to do, with what, and whether it has finished."""

from __future__ import annotations

import fcntl
import json
import platform
import subprocess
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, cast

from geoloc._version import __version__
from geoloc.artifacts import write_json, write_text
from geoloc.errors import ConfigError, DataError
from geoloc.experiment.loading import (
    RESUME_FREE,
    config_from_tree,
    config_hash,
    config_tree,
    config_yaml,
    resume_hash,
)
from geoloc.experiment.schema import ExperimentConfig

SCHEMA_VERSION = 1
_RECORDED_PACKAGES = ("torch", "timm", "open_clip_torch", "webdataset", "numpy", "pandas")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDirectory:
    """A run's folder and the names of what lies in it."""

    path: Path

    @property
    def model(self) -> Path:
        """Folder of the model that queries and evaluations use."""
        return self.path / "model"

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints that training resumes from."""
        return self.path / "checkpoints"

    @property
    def galleries(self) -> Path:
        """Folder of the encoded galleries, one folder each."""
        return self.path / "galleries"

    @property
    def evaluation(self) -> Path:
        """Folder of predictions and reports, one folder for each split."""
        return self.path / "evaluation"

    @property
    def calibration(self) -> Path:
        """Folder of calibrations, one folder for each gallery."""
        return self.path / "calibration"

    @property
    def tensorboard(self) -> Path:
        """Folder of TensorBoard's event files."""
        return self.path / "tensorboard"

    @property
    def record(self) -> Path:
        """`run.json`: provenance and state."""
        return self.path / "run.json"

    @property
    def finished(self) -> bool:
        """Whether training ended and the model was written."""
        return self.record.is_file() and bool(self.read_record().get("finished"))

    @property
    def begun(self) -> bool:
        """Whether training left anything to go on from: a start that failed before leaves none."""
        return self.model.exists() or any(self.checkpoints.glob("step-*"))

    def read_record(self) -> dict[str, Any]:
        """The content of `run.json`.

        Raises:
            DataError: the folder is not a run's, or its record is damaged.
        """
        try:
            record = json.loads(self.record.read_text(encoding="utf-8"))
        except OSError:
            raise DataError(f"{self.path} is not a run: it has no run.json") from None
        except ValueError:
            raise DataError(f"{self.record} is damaged: it is not JSON") from None
        return cast("dict[str, Any]", record)

    def update_record(self, values: Mapping[str, Any]) -> None:
        """Change keys of `run.json`, atomically."""
        record = self.read_record() if self.record.is_file() else {}
        write_json(self.record, {**record, **values})

    def config(self) -> ExperimentConfig:
        """The configuration the run was started with.

        Raises:
            DataError: there is none.
        """
        path = self.path / "config.json"
        try:
            tree = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise DataError(f"{self.path} is not a run: it has no readable config.json") from None
        return config_from_tree(tree, where=str(path))


@contextmanager
def held(run: RunDirectory) -> Generator[None]:
    """Keep every other process out of the run's folder; the system lets go when this one dies.

    Raises:
        ConfigError: another process holds it.
    """
    run.path.mkdir(parents=True, exist_ok=True)
    with (run.path / ".lock").open("w") as lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(f"another process trains in {run.path}: wait for it") from None
        yield


def open_run(config: ExperimentConfig) -> RunDirectory:
    """Start the run's folder, or go on in it when `resume` is auto.

    Raises:
        ConfigError: the folder holds a run already and may not be resumed, or holds another one.
    """
    run = RunDirectory(path=config.run_dir)
    if run.record.is_file() and run.begun:
        if config.resume == "never":
            raise ConfigError(
                f"{run.path} holds a run already: choose another run_dir, or go on with resume=auto"
            )
        _refuse_other_experiment(run, config)
        return run
    for folder in (run.path, run.checkpoints):
        folder.mkdir(parents=True, exist_ok=True)
    write_text(run.path / "config.yaml", config_yaml(config))
    write_json(run.path / "config.json", config_tree(config))
    run.update_record({**provenance(config), "finished": False})
    return run


def _refuse_other_experiment(run: RunDirectory, config: ExperimentConfig) -> None:
    before = run.config()
    if resume_hash(before) == resume_hash(config):
        return
    old, new = _flat(config_tree(before)), _flat(config_tree(config))
    changed = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
    named = ", ".join(key for key in changed if key not in RESUME_FREE)
    raise ConfigError(
        f"{run.path} holds a run with other settings ({named}): a resumed run must not change "
        "them; choose another run_dir"
    )


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat.update(_flat(cast("dict[str, Any]", value), f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def provenance(config: ExperimentConfig) -> dict[str, Any]:
    """What a result came from: versions, commit, hash of the configuration, time, seed."""
    return {
        "schema_version": SCHEMA_VERSION,
        "name": config.name,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "config_hash": config_hash(config),
        "seed": config.seed,
        **software(),
    }


def software(*also: str) -> dict[str, Any]:
    """The commit and the versions that a result was made with; `also` of further packages."""
    versions: dict[str, str] = {"python": platform.python_version(), "geoloc": __version__}
    for package in (*_RECORDED_PACKAGES, *also):
        versions[package] = metadata.version(package)
    return {"commit": _commit(), "versions": versions}


def _commit() -> str | None:
    """The commit of the checkout that geoloc runs from; None where it was installed as a wheel."""
    checkout = Path(__file__).resolve().parents[2]
    # git looks upwards: a wheel inside somebody's repository must not record theirs.
    if not (checkout / ".git").exists():
        return None
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None
