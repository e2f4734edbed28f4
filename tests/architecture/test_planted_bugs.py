"""The list of planted bugs is about the code as it is: `make mutate` alone would tell, and late."""

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from unittest import mock

import pytest

TESTS = Path(__file__).parents[1]
LISTS = sorted((TESTS / "mutations").glob("*.txt"))


@pytest.fixture(scope="module")
def mutate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mutate", TESTS / "mutate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # it sets variables for its forks; dataclasses look their module up
    with mock.patch.dict(os.environ), mock.patch.dict(sys.modules, {"mutate": module}):
        spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.stem)
def test_lines_stand_once_and_tests_are_there(mutate: ModuleType, path: Path) -> None:
    for mutation in mutate.read_mutations(path.read_text()):
        assert mutation.old != mutation.new, mutation.name
        for test in mutation.tests:
            file, _, name = test.partition("::")
            text = (TESTS.parent / file).read_text()
            assert f"def {name.partition('[')[0]}(" in text or not name, (mutation.name, test)


def test_a_line_that_has_gone_is_told(mutate: ModuleType) -> None:
    with pytest.raises(SystemExit, match=r"must stand once in errors\.py"):
        mutate.read_mutations("a bug\nerrors.py | unit/test_errors.py\n- no such line\n+ pass")
