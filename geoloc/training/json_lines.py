"""JsonLines: files of one JSON object a step; a resumed run takes back the lines it will redo."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from geoloc.artifacts import append_whole, write_text
from geoloc.errors import DataError, TrainingError


class JsonLines:
    """A file to which lines are appended, each whole or absent, at once.

    Args:
        path: the file; lines that stand there already are kept.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._stream = path.open("ab", buffering=0)

    def rewind(self, step: int) -> None:
        """Drop the lines after `step`, and a last line that a crash cut short.

        Raises:
            DataError: a line before the last one is not what was written.
            TrainingError: the disk is full, or the folder cannot be written.
        """
        kept: list[str] = []
        lines = self._path.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, start=1):
            try:
                if int(json.loads(line)["step"]) <= step:
                    kept.append(line)
            except (ValueError, KeyError, TypeError) as error:
                if number < len(lines):
                    raise DataError(f"{self._path}, line {number} is damaged: {error}") from error
        try:
            write_text(self._path, "".join(f"{line}\n" for line in kept))
        except OSError as error:
            raise self._unwritten(error) from error
        self._stream.close()
        self._stream = self._path.open("ab", buffering=0)

    def append(self, step: int, values: Mapping[str, object]) -> None:
        """Add the line of a step.

        Raises:
            TrainingError: the disk is full, or the file cannot be written; it is as it was before.
        """
        line = json.dumps({"step": step, **values}, allow_nan=False, ensure_ascii=False) + "\n"
        try:
            append_whole(self._stream, line.encode())
        except OSError as error:
            raise self._unwritten(error) from error

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def _unwritten(self, error: OSError) -> TrainingError:
        return TrainingError(
            f"cannot write {self._path}: {error.strerror or error}; checkpoints are intact: free "
            "disk space (or mend the permissions), then resume"
        )


class JsonLinesSink:
    """Named numbers, `{"step": 10, "train/loss": 6.2, ...}` a line; a NaN is written as null.

    Args:
        path: the file; lines that stand there already are kept.
    """

    def __init__(self, path: Path) -> None:
        self._lines = JsonLines(path)

    def rewind(self, step: int) -> None:
        """Drop the lines after `step`, and a last line that a crash cut short.

        Raises:
            DataError: a line before the last one is not what this sink writes.
            TrainingError: the file cannot be written.
        """
        self._lines.rewind(step)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Append one line, at once.

        Raises:
            TrainingError: the file cannot be written.
        """
        plain = {k: v if abs(v) < float("inf") else None for k, v in values.items()}
        self._lines.append(step, plain)

    def close(self) -> None:
        """Close the file."""
        self._lines.close()


class SampleTrace:
    """Which samples each step saw, `{"step": 10, "keys": [...]}` a line, in the order of the batch.

    The keys of batches whose gradients are averaged for one step follow one another.

    Args:
        path: the file; lines that stand there already are kept.
    """

    def __init__(self, path: Path) -> None:
        self._lines = JsonLines(path)

    def rewind(self, step: int) -> None:
        """Drop the lines after `step`, and a last line that a crash cut short.

        Raises:
            DataError: a line before the last one is not what this sink writes.
            TrainingError: the file cannot be written.
        """
        self._lines.rewind(step)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Nothing: numbers go elsewhere."""

    def write_samples(self, step: int, keys: Sequence[str]) -> None:
        """Append one line, at once.

        Raises:
            TrainingError: the file cannot be written.
        """
        self._lines.append(step, {"keys": list(keys)})

    def close(self) -> None:
        """Close the file."""
        self._lines.close()
