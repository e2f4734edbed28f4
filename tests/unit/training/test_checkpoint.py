from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from geoloc.errors import CheckpointError
from geoloc.training import Checkpoint, find_latest, load_checkpoint, save_checkpoint
from geoloc.training.checkpoint import discard_after, find_fault, prune


def made_up(value: float = 1.0, size: int = 50) -> Checkpoint:
    return Checkpoint(
        model={"weight": torch.full((size,), value), "count": torch.tensor(3)},
        optimizer={"weight|step": torch.tensor(2.0)},
        extra={"random.torch": torch.get_rng_state(), "empty": torch.zeros(0, 2)},
        state={"epoch": 1, "position": {"done": 2}},
    )


def test_what_is_saved_is_what_is_loaded(tmp_path: Path):
    path = save_checkpoint(tmp_path, 12, made_up(0.1))
    assert path == tmp_path / "step-00000012"
    loaded = load_checkpoint(path)
    assert torch.equal(loaded.model["weight"], made_up(0.1).model["weight"])
    assert loaded.model["count"].dtype == torch.int64
    assert loaded.extra["empty"].shape == (0, 2)
    assert loaded.state["position"] == {"done": 2}
    assert loaded.state["step"] == 12


def test_tensors_that_share_memory_are_saved_apart(tmp_path: Path):
    base = torch.arange(6.0).reshape(2, 3)
    saved = Checkpoint(model={"a": base, "b": base.T}, optimizer={}, extra={}, state={})
    loaded = load_checkpoint(save_checkpoint(tmp_path, 1, saved))
    assert torch.equal(loaded.model["b"], base.T)


def test_last_is_a_real_folder_with_the_newest_weights(tmp_path: Path):
    for step, value in ((1, 1.0), (2, 2.0)):
        save_checkpoint(tmp_path, step, made_up(value))
        prune(tmp_path, keep_last=1)
        last = tmp_path / "last"
        assert not last.is_symlink()
        assert [path.name for path in last.iterdir()] == ["model.safetensors"]
        assert load_file(last / "model.safetensors")["weight"][0] == value
    shutil.rmtree(tmp_path / "step-00000002")
    assert load_file(tmp_path / "last" / "model.safetensors")["weight"][0] == 2.0


FILES = ("model.safetensors", "optimizer.safetensors", "extra.safetensors", "state.json")


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
@pytest.mark.parametrize("damage", ["missing", "cut", "flipped", "empty"])
def test_damage_to_any_file_is_seen_and_the_one_before_is_used(
    tmp_path: Path, name: str, damage: str
):
    before = save_checkpoint(tmp_path, 1, made_up())
    path = save_checkpoint(tmp_path, 2, made_up()) / name
    content = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[:-5])
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        # In a manifest a flipped digit of a hash, elsewhere any bit.
        at = content.index(b'"sha256": "') + 12 if name == "manifest.json" else len(content) // 2
        content[at] = ord("0") if content[at] != ord("0") else ord("1")
        path.write_bytes(content)
    assert find_fault(path.parent) is not None
    assert find_latest(tmp_path) == before
    with pytest.raises(CheckpointError, match="cannot be used"):
        load_checkpoint(path.parent)


def test_no_checkpoint_at_all(tmp_path: Path):
    assert find_latest(tmp_path / "nowhere") is None
    (tmp_path / "step-00000009").mkdir()
    assert find_latest(tmp_path) is None


def test_another_schema_version_is_refused_clearly(tmp_path: Path):
    path = save_checkpoint(
        tmp_path, 1, Checkpoint(model={}, optimizer={}, extra={}, state={"schema_version": 99})
    )
    with pytest.raises(CheckpointError, match="schema version 99"):
        load_checkpoint(path)


@pytest.mark.parametrize("size", [0, 100, 300, 5000, 60_000, 99_000])
def test_a_full_disk_leaves_the_old_checkpoint_and_says_so(
    tmp_path: Path, size: int, files_limited_to: Callable[..., Any]
):
    before = save_checkpoint(tmp_path, 1, made_up(1.0, 25_000))
    with files_limited_to(size), pytest.raises(CheckpointError, match="intact"):
        save_checkpoint(tmp_path, 2, made_up(2.0, 25_000))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last", before.name]
    assert find_latest(tmp_path) == before
    assert load_file(tmp_path / "last" / "model.safetensors")["weight"][0] == 1.0
    save_checkpoint(tmp_path, 2, made_up(2.0, 25_000))
    assert find_latest(tmp_path) == tmp_path / "step-00000002"


class Killed(BaseException):
    """Stands for kill -9: nothing of the saving code may catch it."""


def dying_after(count: int, real: Callable[..., Any], left: dict[str, int]) -> Callable[..., Any]:
    """The operation `real`, which after `count` operations of any kind never returns."""

    def call(*args: Any, **kwargs: Any) -> Any:
        left["done"] += 1
        if left["done"] > count:
            raise Killed
        return real(*args, **kwargs)

    return call


@pytest.mark.parametrize("same_step", [False, True])
def test_death_at_any_file_operation_leaves_a_whole_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same_step: bool
):
    """Every rename, sync, link and deletion of a save is the last thing that happens, in turn."""
    operations = [
        (os, "fsync"),
        (os, "link"),
        (Path, "rename"),
        (Path, "replace"),
        (Path, "mkdir"),
        (shutil, "rmtree"),
    ]
    moment, alive = 0, False
    while not alive:
        folder = tmp_path / str(moment)
        save_checkpoint(folder, 1, made_up(1.0))
        left = {"done": 0}
        with monkeypatch.context() as patch:
            for owner, name in operations:
                patch.setattr(owner, name, dying_after(moment, getattr(owner, name), left))
            try:
                save_checkpoint(folder, 1 if same_step else 2, made_up(2.0))
                alive = True
            except Killed:
                moment += 1
        latest = find_latest(folder)
        assert latest is not None
        weight = load_checkpoint(latest).model["weight"][0]
        assert weight in (1.0, 2.0)
        assert load_file(folder / "last" / "model.safetensors")["weight"][0] in (1.0, weight)
        save_checkpoint(folder, 3, made_up(3.0))
        prune(folder, keep_last=1)
        assert {path.name for path in folder.iterdir()} == {"last", "step-00000003"}
    assert moment >= 12


def test_prune_keeps_the_newest_and_the_best(tmp_path: Path):
    for step in (1, 2, 3, 4, 5):
        save_checkpoint(tmp_path, step, made_up())
    prune(tmp_path, keep_last=2, keep_steps=(2,))
    assert sorted(p.name[-1] for p in tmp_path.glob("step-*")) == ["2", "4", "5"]


def test_damaged_ones_are_discarded_before_they_count_as_newest(tmp_path: Path):
    for step in (1, 2):
        save_checkpoint(tmp_path, step, made_up())
    (tmp_path / "step-00000002" / "manifest.json").unlink()
    latest = find_latest(tmp_path)
    assert latest == tmp_path / "step-00000001"
    discard_after(tmp_path, 1)
    assert not (tmp_path / "step-00000002").exists()


def test_no_file_of_a_checkpoint_is_a_pickle(tmp_path: Path):
    path = save_checkpoint(tmp_path, 1, made_up())
    assert {p.name for p in path.iterdir()} == {*FILES, "manifest.json"}
    for name in ("state.json", "manifest.json"):
        json.loads((path / name).read_text())
