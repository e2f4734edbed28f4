"""Checkpoints: folders that are whole or recognised as torn, and never lost on the way."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from geoloc._version import __version__
from geoloc.artifacts import sha256_of, sync, write_json
from geoloc.errors import CheckpointError

SCHEMA_VERSION = 2
MODEL_FILE = "model.safetensors"
_PARTS = ("model", "optimizer", "extra")
# A checkpoint that is being replaced by one of the same step bears the suffix for a moment.
_REPLACED = ".replaced"
_NAME = re.compile(r"step-(\d{8,})(\.replaced)?")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """All that a run needs to go on exactly.

    Attributes:
        model: weights that are trained, with their buffers.
        optimizer: moments and step counts.
        extra: every other tensor (random states, queue, running sums), names with a prefix.
        state: JSON-able rest: counters, position in the data, versions, hash of the configuration.
    """

    model: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]
    extra: Mapping[str, Tensor]
    state: Mapping[str, Any]


def save_checkpoint(folder: Path, step: int, checkpoint: Checkpoint) -> Path:
    """Write `folder/step-NNNNNNNN`, whole or not at all.

    Everything is written beside and synced to disk, the manifest with the sha256 of every file
    last; then one rename puts the folder in place. Afterwards `folder/last/model.safetensors` is
    the same weights. A crash or a full disk at any moment leaves older checkpoints untouched.

    Returns:
        The checkpoint's folder.

    Raises:
        CheckpointError: it could not be written (disk full, no permission).
    """
    target = folder / f"step-{step:08d}"
    beside = folder / f".{target.name}.writing"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        beside.mkdir()
        for part in _PARTS:
            _save_tensors(getattr(checkpoint, part), beside / f"{part}.safetensors")
        state = {
            "schema_version": SCHEMA_VERSION,
            "versions": {"geoloc": __version__, "torch": torch.__version__},
            "step": step,
            **checkpoint.state,
        }
        write_json(beside / "state.json", state)
        write_json(beside / "manifest.json", _manifest(beside))
        sync(beside)
        _put_in_place(beside, target)
        publish_last(folder, target)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise CheckpointError(
            f"cannot save the checkpoint {target}: {error}; checkpoints saved before it are "
            "intact: free disk space (or mend the permissions), then resume"
        ) from error
    return target


def load_checkpoint(path: Path) -> Checkpoint:
    """Read one checkpoint onto the CPU after verifying every file against the manifest.

    Raises:
        CheckpointError: it is torn, damaged, or of another schema version.
    """
    fault = find_fault(path)
    if fault is not None:
        raise CheckpointError(f"the checkpoint {path} cannot be used: {fault}")
    state = json.loads((path / "state.json").read_text(encoding="utf-8"))
    if state.get("schema_version") != SCHEMA_VERSION:
        raise CheckpointError(
            f"{path / 'state.json'} has schema version {state.get('schema_version')}, this geoloc "
            f"reads {SCHEMA_VERSION}: resume with the version that wrote it"
        )
    tensors = {part: load_file(path / f"{part}.safetensors") for part in _PARTS}
    return Checkpoint(**tensors, state=state)


def find_fault(path: Path) -> str | None:
    """What is wrong with a checkpoint, in a few words; None if every file is as it was written."""
    try:
        manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
        files: dict[str, dict[str, Any]] = manifest["files"]
        wanted = {"state.json", *(f"{part}.safetensors" for part in _PARTS)}
        if set(files) != wanted:
            return f"its manifest names {sorted(files)} and not {sorted(wanted)}"
        for name, entry in files.items():
            if (path / name).stat().st_size != entry["bytes"]:
                return f"{name} has another size than the manifest says"
            if sha256_of(path / name) != entry["sha256"]:
                return f"{name} has another sha256 than the manifest says"
    except FileNotFoundError as error:
        return f"{Path(str(error.filename)).name} is missing"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"its manifest cannot be read ({error})"
    return None


def find_latest(folder: Path) -> Path | None:
    """The newest whole checkpoint in `folder`, or None; damaged ones are logged and passed over."""
    for _, path in _steps(folder):
        fault = find_fault(path)
        if fault is None:
            return path
        _log.warning("checkpoint %s is passed over: %s", path, fault)
    return None


def prune(folder: Path, *, keep_last: int, keep_steps: Collection[int] = ()) -> None:
    """Delete all but the newest `keep_last` checkpoints and those of `keep_steps`."""
    for step, path in _steps(folder)[max(1, keep_last) :]:
        if step not in keep_steps:
            _delete(path)


def discard_after(folder: Path, step: int) -> None:
    """Delete the checkpoints after `step`: those that `find_latest` passed over as damaged.

    Left in place they would count among the newest, and `prune` would delete whole ones for them.
    """
    for found, path in _steps(folder):
        if found > step:
            _delete(path)


def has_checkpoints(folder: Path) -> bool:
    """Whether there is anything in `folder` that is named like a checkpoint, whole or not."""
    return bool(_steps(folder))


def _delete(path: Path) -> None:
    # Renamed first: a half deleted folder must not look like a damaged checkpoint.
    doomed = path.with_name(f".{path.name}.deleting")
    shutil.rmtree(doomed, ignore_errors=True)
    path.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def _steps(folder: Path) -> list[tuple[int, Path]]:
    """(step, folder) of everything that is named like a checkpoint, newest first."""
    if not folder.is_dir():
        return []
    found = [(_NAME.fullmatch(path.name), path) for path in folder.iterdir() if path.is_dir()]
    named = [(int(match[1]), match[2] is None, path) for match, path in found if match]
    return [(step, path) for step, _, path in sorted(named, reverse=True)]


def _sweep(folder: Path) -> None:
    """Delete what an interrupted save or deletion left behind."""
    for pattern in (".step-*.writing", ".step-*.deleting"):
        for path in folder.glob(pattern):
            shutil.rmtree(path, ignore_errors=True)
    for path in folder.glob(f"step-*{_REPLACED}"):
        if path.with_suffix("").exists():
            _delete(path)


def _put_in_place(beside: Path, target: Path) -> None:
    """One rename; a checkpoint of the same step stays usable until the new one stands there."""
    replaced = target.with_name(target.name + _REPLACED)
    if target.exists():
        target.rename(replaced)
    beside.rename(target)
    sync(target.parent)
    if replaced.exists():
        _delete(replaced)


def publish_last(folder: Path, target: Path) -> None:
    """Make `folder/last/model.safetensors` the weights of a checkpoint, by one rename.

    A real folder with a hard link (or a copy, where links are not to be had) outlives copying and
    archiving better than a symbolic link. The file is never written in place, and can be loaded
    at any moment.
    """
    last = folder / "last"
    last.mkdir(exist_ok=True)
    fresh = last / f".{MODEL_FILE}.writing"
    fresh.unlink(missing_ok=True)
    try:
        os.link(target / MODEL_FILE, fresh)
    except OSError:
        shutil.copyfile(target / MODEL_FILE, fresh)
        sync(fresh)
    fresh.replace(last / MODEL_FILE)
    sync(last)


def _save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    # Clones: safetensors refuses tensors that share memory, and views of a larger storage do.
    plain = {
        name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()
    }
    # One entry only: safetensors writes several in random order, and equal weights are to give
    # equal bytes.
    save_file(plain, path, metadata={"format": "pt"})
    sync(path)


def _manifest(folder: Path) -> dict[str, Any]:
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
        for path in sorted(folder.iterdir())
    }
    return {"schema_version": SCHEMA_VERSION, "files": files}
