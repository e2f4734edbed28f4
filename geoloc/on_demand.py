"""Packages that offer many names and import none of them before it is asked for."""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path
from types import ModuleType


def import_on_demand(package: str) -> None:
    """Let a package import each name that it offers when it is first asked for.

    What it offers stands in its ``__init__.py`` as ordinary imports under ``TYPE_CHECKING``, where
    people, checkers and contracts read it. A query then need not wait for what only training or
    evaluation uses. A name that a submodule has too means what is imported, as it always would.

    Args:
        package: the package's ``__name__``.
    """
    module = sys.modules[package]
    assert module.__file__ is not None
    source = Path(module.__file__).read_text(encoding="utf-8")
    module.__dict__["_homes"] = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith(f"{package}.")
        for alias in node.names
    }
    module.__class__ = _OnDemand


class _OnDemand(ModuleType):
    def __getattr__(self, name: str) -> object:
        home = self.__dict__["_homes"].get(name)
        if home is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(home[0]), home[1])
        self.__dict__[name] = value
        return value

    def __setattr__(self, name: str, value: object) -> None:
        # Python hangs a submodule onto its package as soon as anybody imports it.
        if not (isinstance(value, ModuleType) and name in self.__dict__["_homes"]):
            super().__setattr__(name, value)
