"""Fitted curves as JSON and back, to the last bit."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import numpy as np

from geoloc.errors import DataError

SCHEMA_VERSION = 1

_INFINITE_WHERE_NULL = ("max_lag",)
"""Numbers that are null in JSON because it has no infinity."""


def fit_to_json(fit: Any) -> dict[str, Any]:
    """A fit's fields as JSON can hold them, with its kind and the version of the layout.

    Args:
        fit: a frozen record of numbers, arrays, tuples of records and mappings.
    """
    names = [each.name for each in dataclasses.fields(fit)]
    content = {name: _plain(getattr(fit, name)) for name in names}
    return {"kind": type(fit).__name__, "schema_version": SCHEMA_VERSION, **content}


@contextmanager
def damage_told(kind: str) -> Generator[None]:
    """Whatever goes wrong inside is told as damage of a file.

    Raises:
        DataError: something went wrong.
    """
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"the {kind} is damaged: {error}") from error


def fields_from_json(kind: type, content: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a fit of that kind.

    Raises:
        DataError: the content is of another kind or version, or lacks a field.
    """
    if content.get("kind") != kind.__name__:
        raise DataError(f"not a {kind.__name__} but {content.get('kind')!r}")
    if content.get("schema_version") != SCHEMA_VERSION:
        raise DataError(
            f"the {kind.__name__} has schema version {content.get('schema_version')}, this geoloc "
            f"reads {SCHEMA_VERSION}: fit again"
        )
    fields = dataclasses.fields(kind)
    if missing := [each.name for each in fields if each.name not in content]:
        raise DataError(f"the {kind.__name__} is damaged: {missing[0]} is missing")
    return {each.name: _read(each, content[each.name]) for each in fields}


def _read(field: dataclasses.Field[Any], value: Any) -> Any:
    """A value of JSON as the field holds it."""
    if "np.ndarray" in str(field.type):
        return np.array(value, dtype=np.float64)
    if field.name in _INFINITE_WHERE_NULL and value is None:
        return math.inf
    if field.name == "standard_error":
        return {name: math.inf if part is None else part for name, part in value.items()}
    return tuple(value) if field.name == "flags" else value


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return [_plain(each) for each in value.tolist()]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, tuple):
        return [_plain(each) for each in cast("tuple[Any, ...]", value)]
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in cast("Mapping[Any, Any]", value).items()}
    if dataclasses.is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    return value
