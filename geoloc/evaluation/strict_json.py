"""JSON without NaN and Infinity, which it does not know."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

from geoloc.errors import DataError


def strict_json(content: object, where: str) -> str:
    """The content as JSON that every reader takes, with a line break at its end.

    Args:
        content: objects of JSON.
        where: what the whole is called in messages.

    Raises:
        DataError: naming where a number that is not finite stands.
    """
    if bad := _not_finite(content, where):
        raise DataError(f"{bad} is not a finite number: the report would not be JSON")
    return json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _not_finite(content: object, where: str) -> str | None:
    """Where the first number that is not finite stands, or None."""
    if isinstance(content, float):
        return None if math.isfinite(content) else where
    inner: list[tuple[str, object]] = []
    if isinstance(content, Mapping):
        inner = [(f"{where}.{key}", value) for key, value in content.items()]
    elif isinstance(content, Sequence) and not isinstance(content, str):
        inner = [(f"{where}[{at}]", value) for at, value in enumerate(content)]
    return next((bad for name, value in inner if (bad := _not_finite(value, name))), None)
