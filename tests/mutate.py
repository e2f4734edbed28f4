"""Plant one-line bugs in copies of the package; each must be seen by the tests named with it.

Run: make mutate (or: python tests/mutate.py [ROOM | WORD of a bug's name] ...)

The bugs stand in mutations/ROOM.txt, four lines each, with an empty line between them:

    what goes wrong
    FILE under geoloc/ | TESTS under tests/, which must pass without the bug and fail with it
    - a piece of a line that stands once in the file
    + what takes its place

Each run of pytest is a fork of this process, which has the slow third-party imports behind it.
"""

import contextlib
import importlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}

ROOT = Path(__file__).parents[1]
COPIED = ("geoloc", "tests", "configs", "setup.cfg")
PROCESSES = 2
# Not what registers with pytest (hypothesis, jaxtyping): pytest wants to import that itself.
SLOW_IMPORTS = (
    *("torch", "pandas", "pyarrow.parquet", "scipy.spatial", "scipy.ndimage", "shapely", "pytest"),
    *("PIL.Image", "pydantic", "pyproj", "safetensors.torch", "torch.utils.tensorboard"),
)
WRONG_COPY = 99


@dataclass(frozen=True)
class Mutation:
    """A bug: in `file`, the only occurrence of `old` becomes `new`; `tests` must fail."""

    name: str
    file: str
    tests: tuple[str, ...]
    old: str
    new: str

    def is_meant(self, word: str) -> bool:
        return word in self.name or self.file.startswith(f"geoloc/{word}/")


@dataclass(frozen=True)
class Running:
    """A fork that runs tests on a copy with a bug, or with none."""

    mutation: Mutation | None
    copy: Path
    source: str
    started: float


def read_mutations(text: str) -> list[Mutation]:
    mutations: list[Mutation] = []
    for block in text.strip().split("\n\n"):
        name, where, old, new = block.split("\n")
        file, _, tests = where.partition(" | ")
        if old[:2] != "- " or new[:2] != "+ " or not tests:
            raise SystemExit(f"cannot read\n{block}")
        if (ROOT / "geoloc" / file).read_text().count(old[2:]) != 1:
            raise SystemExit(f"{name}: {old[2:]!r} must stand once in {file}")
        named = tuple(f"tests/{test}" for test in tests.split())
        mutations.append(Mutation(name, f"geoloc/{file}", named, old[2:], new[2:]))
    return mutations


def make_copy(folder: Path) -> Path:
    folder.mkdir()
    for name in COPIED:
        source, target = ROOT / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    return folder


def run_pytest(copy: Path, tests: Sequence[str]) -> int:
    """In a fork: pytest's exit code, or WRONG_COPY if it imported another geoloc."""
    import pytest

    os.chdir(copy)
    os.environ["PYTHONPATH"] = str(copy)
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sys.dont_write_bytecode = True  # a stale .pyc would hide the next bug
    sys.path[0] = str(copy)
    with (copy / "output").open("w") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        code = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests]))
        sys.stdout.flush()
    module = sys.modules.get("geoloc")
    if module is not None and not str(module.__file__).startswith(str(copy.resolve())):
        return WRONG_COPY
    return code


def start(copy: Path, mutation: Mutation | None, tests: Sequence[str]) -> tuple[int, Running]:
    source = ""
    if mutation is not None:
        source = (copy / mutation.file).read_text()
        (copy / mutation.file).write_text(source.replace(mutation.old, mutation.new))
    running = Running(mutation, copy, source, time.monotonic())
    child = os.fork()
    if child == 0:
        code = 3
        with contextlib.suppress(BaseException):
            code = run_pytest(copy, tests)
        os._exit(code)
    return child, running


def survives(running: Running, code: int) -> bool:
    """Whether all tests passed; puts the copy right again."""
    mutation = running.mutation
    name = "(no bug)" if mutation is None else mutation.name
    if code not in (0, 1):
        output = (running.copy / "output").read_text()
        raise SystemExit(f"{name}: pytest did not run (exit {code})\n{output}")
    if mutation is not None:
        (running.copy / mutation.file).write_text(running.source)
        verdict = "SURVIVED" if code == 0 else "killed  "
        print(f"{verdict} {time.monotonic() - running.started:4.0f} s  {name}", flush=True)
    elif code == 1:
        output = (running.copy / "output").read_text()
        raise SystemExit(f"the tests fail without any bug too\n{output}")
    return code == 0


def main() -> int:
    lists = sorted((ROOT / "tests" / "mutations").glob("*.txt"))
    mutations = [each for path in lists for each in read_mutations(path.read_text())]
    words = sys.argv[1:]
    wanted = [each for each in mutations if not words or any(each.is_meant(w) for w in words)]
    begun = time.monotonic()
    for name in SLOW_IMPORTS:
        importlib.import_module(name)
    survivors: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        free = [make_copy(Path(folder).resolve() / str(number)) for number in range(PROCESSES)]
        running: dict[int, Running] = {}
        every_test = tuple(dict.fromkeys(test for each in wanted for test in each.tests))
        waiting = [(None, every_test), *((each, each.tests) for each in wanted)]
        while waiting or running:
            if waiting and free:
                child, started = start(free.pop(), *waiting.pop(0))
                running[child] = started
                continue
            child, status = os.wait()
            ended = running.pop(child)
            if survives(ended, os.waitstatus_to_exitcode(status)) and ended.mutation is not None:
                survivors.append(ended.mutation.name)
            free.append(ended.copy)
    seconds = time.monotonic() - begun
    print(f"{len(wanted) - len(survivors)} of {len(wanted)} killed in {seconds:.0f} s")
    for name in survivors:
        print(f"SURVIVED {name}")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
