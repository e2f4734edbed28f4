"""From a YAML file and `key=value` words to the settings of the HTTP service."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from geoloc.errors import ConfigError
from geoloc.experiment.loading import apply_override, model_from_tree, read_tree
from geoloc.inference.service.settings import ServiceSettings


def load_service_settings(
    path: Path | str | None, overrides: Iterable[str] = ()
) -> ServiceSettings:
    """Read a service's file, lay it over its `base:` files, then over that the overrides.

    Args:
        path: a YAML file; None for the defaults alone.
        overrides: words `section.key=value`, the value in YAML; they may name existing keys only,
            and no API keys, since everybody on a machine can read its command lines.

    Raises:
        ConfigError: a file is missing or no mapping, a key is unknown, a value impossible, a
            word holds an API key, or a source of keys is named and empty.
    """
    tree: dict[str, Any] = {} if path is None else read_tree(Path(path))
    for word in overrides:
        name = word.partition("=")[0]
        # Neither the key alone, nor a part of it, nor its whole section; its file may be named.
        if name == "access" or f"{name}.".startswith("access.api_keys."):
            raise ConfigError(
                "API keys stand in the configuration, in access.api_keys_file or in the "
                "environment (access.api_keys_variable), never on the command line"
            )
        apply_override(tree, word)
        _refuse_lost_source(name, tree)
    _refuse_odd_keys(tree.get("access"))
    return model_from_tree(tree, ServiceSettings, where="defaults" if path is None else str(path))


def _refuse_lost_source(name: str, tree: dict[str, Any]) -> None:
    """Refuse `access.api_keys_file=$LOST`: it would open a service that was meant to be closed."""
    section, _, key = name.partition(".")
    sources = {"api_keys_file", "api_keys_variable"}
    if section == "access" and key in sources and not tree[section][key]:
        raise ConfigError(f"{name}= names nothing: leave it out, or say where the API keys are")


def _refuse_odd_keys(access: Any) -> None:
    """Refuse API keys that are no list of words here, where the error does not quote them."""
    keys = cast("dict[str, Any]", access).get("api_keys", []) if isinstance(access, dict) else []
    listed = cast("list[object]", keys) if isinstance(keys, list) else [None]
    if not all(isinstance(key, str) for key in listed):
        raise ConfigError("access.api_keys is a list of words, each in quotes")
    if isinstance(access, dict) and "api_keys" in access and not listed:
        raise ConfigError("access.api_keys is empty: leave it out to ask for no API keys")
