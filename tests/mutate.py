"""Plant one-line bugs in a copy of the package; each must be seen by the tests named with it.

Run: make mutate (or: python tests/mutate.py [WORD of a mutation's name])
"""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Mutation:
    """A bug: in `file`, the only occurrence of `old` becomes `new`; `tests` must fail."""

    name: str
    file: str
    old: str
    new: str
    tests: str


MUTATIONS: tuple[Mutation, ...] = ()


def survives(mutation: Mutation, copy: Path) -> bool:
    path = copy / mutation.file
    source = path.read_text()
    if source.count(mutation.old) != 1:
        raise SystemExit(f"{mutation.name}: {mutation.old!r} must stand once in {mutation.file}")
    path.write_text(source.replace(mutation.old, mutation.new))
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [*command, *mutation.tests.split()], cwd=copy, env=environment, capture_output=True
    )
    path.write_text(source)
    if done.returncode not in (0, 1):
        raise SystemExit(f"{mutation.name}: pytest did not run\n{done.stdout.decode()}")
    return done.returncode == 0


def main() -> int:
    wanted = [each for each in MUTATIONS if all(word in each.name for word in sys.argv[1:])]
    survivors: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in ("geoloc", "tests", "configs", "setup.cfg"):
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, copy / name)
        for mutation in wanted:
            alive = survives(mutation, copy)
            survivors += [mutation.name] * alive
            print(f"{'SURVIVED' if alive else 'killed  '}  {mutation.name}", flush=True)
    print(f"{len(wanted) - len(survivors)} of {len(wanted)} killed")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
