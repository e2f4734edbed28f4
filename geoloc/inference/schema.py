"""The JSON Schema of answers."""

from __future__ import annotations

from importlib.resources import files


def schema_text() -> str:
    """JSON Schema (draft 2020-12) of `geoloc.inference.formats.to_json`'s document.

    A line of JSON lines is ``#/$defs/line`` in it, the first line of such a file
    ``#/$defs/header``.
    """
    return files("geoloc.inference").joinpath("answers.schema.json").read_text(encoding="utf-8")
