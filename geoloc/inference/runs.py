"""Finding finished runs, and the gallery of a run that a query shall search."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from geoloc.errors import CheckpointError, DataError


def newest_run(folder: Path | str = Path("runs")) -> Path:
    """The finished run below `folder` that was started last.

    A run is a folder with a ``run.json``; it is finished when that says ``"finished": true`` and
    a ``model`` folder stands beside it. Runs that were stopped, or whose run.json cannot be read,
    are passed over.

    Raises:
        DataError: there is no finished run.
    """
    root = Path(folder)
    finished = [
        (_started(about), path.parent)
        for path in sorted(root.glob("*/run.json"))
        if (about := _read_json(path)) is not None and is_finished(path.parent, about)
    ]
    if not finished:
        raise DataError(
            f"no finished run under {root}/: train one first (python train.py configs/demo.yaml)"
            " or name one with --run"
        )
    return max(finished)[1]


def is_finished(run: Path, about: dict[str, Any]) -> bool:
    """Whether `about`, the run.json of folder `run`, stands for a model that can be asked."""
    return about.get("finished") is True and (run / "model").is_dir()


def read_run(run: Path | str) -> dict[str, Any]:
    """The run.json of a finished run.

    Raises:
        CheckpointError: the folder is not there, is no run, or its run has not finished.
    """
    folder = Path(run)
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such run folder")
    about = _read_json(folder / "run.json")
    if about is None:
        raise CheckpointError(f"{folder} is not a run: it has no readable run.json")
    if not is_finished(folder, about):
        raise CheckpointError(
            f"{folder} has not finished: go on training with resume=auto, or choose another run"
        )
    return about


def gallery_folder(run: Path, about: dict[str, Any], gallery: str | Path | None = None) -> Path:
    """The folder of the gallery to search for a run.

    Args:
        run: folder of the run.
        about: its run.json; ``default_gallery`` names the gallery that is taken unasked.
        gallery: name of one of the run's galleries, or the path of a gallery elsewhere.

    Raises:
        DataError: no such gallery, none at all, or several and none of them the default.
    """
    galleries = run / "galleries"
    names = sorted(path.name for path in galleries.glob("*") if path.is_dir())
    if gallery is not None:
        return _named_gallery(run, names, gallery)
    default = about.get("default_gallery")
    if default is not None:
        return _named_gallery(run, names, str(default))
    if len(names) == 1:
        return galleries / names[0]
    if not names:
        raise DataError(f"{run} has no gallery to search; {_how_to_build(run)}")
    raise DataError(f"{run} has several galleries and no default; name one of {', '.join(names)}")


def _named_gallery(run: Path, names: list[str], gallery: str | Path) -> Path:
    if str(gallery) in names:
        return run / "galleries" / str(gallery)
    path = Path(gallery)
    if path.is_dir():
        return path
    known = f"known there: {', '.join(names)}" if names else "it has none yet"
    raise DataError(f"{run} has no gallery {str(gallery)!r} ({known}); {_how_to_build(run)}")


def _how_to_build(run: Path) -> str:
    return f"build one with: geoloc gallery build --run {run}"


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return cast("dict[str, Any]", content) if isinstance(content, dict) else None


def _started(about: dict[str, Any]) -> datetime:
    """When the run began; the beginning of time where run.json does not say."""
    try:
        started = datetime.fromisoformat(str(about.get("started")))
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return started if started.tzinfo else started.replace(tzinfo=UTC)
