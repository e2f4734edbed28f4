"""From a YAML file and `key=value` words to an ExperimentConfig, or one clear error."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml
from pydantic import BaseModel, ValidationError

from geoloc.errors import ConfigError
from geoloc.experiment.schema import ExperimentConfig

IDLE = (
    *("run_dir", "resume", "training.trace_samples", "training.stall_warning_s"),
    *("data.shard_cache", "data.shard_cache_gb", "data.retries", "data.worker_timeout_s"),
)
"""Keys that say where and how a run goes, and nothing of what it computes."""
RESUME_FREE = (*IDLE, "data.workers")
"""Keys that may change when a run goes on; the workers of its beginning decided its order."""
_MAX_BASES = 2
_DATA = (".csv", ".npz", ".parquet")
Model = TypeVar("Model", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """YAML 1.2 scalars: 3e-5 is a number, and `no` or `on` are words, not truth values."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":float", ":bool"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$"),
    list("-+0123456789."),
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def load_section(path: Path | str, overrides: Iterable[str], model: type[Model]) -> Model:
    """Read a file of some system's settings, lay it over its `base:` files, then the overrides.

    Args:
        path: a YAML file. Its `base:` (relative to it) may name another, at most two deep.
        overrides: words `section.key=value`, the value in YAML; they may name existing keys only.
        model: what the settings are.

    Raises:
        ConfigError: a file is missing or is no mapping, a key is unknown, or a value impossible.
    """
    tree = read_tree(Path(path))
    for word in overrides:
        apply_override(tree, word)
    return model_from_tree(tree, model, where=str(path))


def section_of(values: Mapping[str, Any], overrides: Iterable[str], model: type[Model]) -> Model:
    """A system's settings without a file: some values over the defaults, then the overrides.

    Raises:
        ConfigError: a key is unknown, or a value impossible.
    """
    tree = dict(values)
    for word in overrides:
        apply_override(tree, word)
    return model_from_tree(tree, model, where="settings")


def section_hash(config: BaseModel) -> str:
    """Sha256 over all keys of a system's settings."""
    return hashlib.sha256(config.model_dump_json().encode()).hexdigest()


def load_config(path: Path | str, overrides: Iterable[str] = ()) -> ExperimentConfig:
    """Read an experiment file, lay it over its `base:` files, then over that the overrides.

    Args:
        path: a YAML file. Its `base:` (relative to it) may name another, at most two deep.
        overrides: words `section.key=value`, the value in YAML; they may name existing keys only.

    Raises:
        ConfigError: a file is missing or is no mapping, a key is unknown, or a value impossible.
    """
    return load_section(path, overrides, ExperimentConfig)


def config_from_tree(tree: Mapping[str, Any], *, where: str) -> ExperimentConfig:
    """Validate a plain mapping (of a YAML or JSON file named `where`).

    Raises:
        ConfigError: naming each offending key.
    """
    return model_from_tree(tree, ExperimentConfig, where=where)


def model_from_tree(tree: Mapping[str, Any], model: type[Model], *, where: str) -> Model:
    """A plain mapping as a strict pydantic model.

    Raises:
        ConfigError: naming each offending key.
    """
    _refuse_unknown_keys(tree, model, prefix="", where=where)
    try:
        return model.model_validate_json(json.dumps(tree))
    except (ValidationError, TypeError) as error:
        raise ConfigError(f"{where}: {explain(error)}") from None


def config_tree(config: ExperimentConfig) -> dict[str, Any]:
    """The configuration with every default filled in, as plain JSON values."""
    return cast("dict[str, Any]", json.loads(config.model_dump_json()))


def config_yaml(config: ExperimentConfig) -> str:
    """The resolved configuration as YAML that `load_config` reads back to an equal value."""
    return yaml.safe_dump(config_tree(config), sort_keys=False)


def config_hash(config: ExperimentConfig) -> str:
    """Sha256 over what decides the result: all keys but `IDLE`."""
    return _hash_without(IDLE, config)


def resume_hash(config: ExperimentConfig) -> str:
    """Sha256 over what must be as before for a run to go on: all keys but `RESUME_FREE`."""
    return _hash_without(RESUME_FREE, config)


def _hash_without(names: Iterable[str], config: ExperimentConfig) -> str:
    tree = config_tree(config)
    for name in names:
        *sections, key = name.split(".")
        inner = tree
        for section in sections:
            inner = inner[section]
        del inner[key]
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()


def _read_with_base(path: Path, depth: int) -> dict[str, Any]:
    if path.suffix.lower() in _DATA:
        raise ConfigError(
            f"{path} is data: name a YAML file of settings, which names data by a key"
        )
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except OSError as error:
        raise ConfigError(f"cannot read configuration {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} holds no mapping of keys to values")
    tree = cast("dict[str, Any]", tree)
    base = tree.pop("base", None)
    if base is None:
        return tree
    if depth == _MAX_BASES:
        raise ConfigError(f"{path}: base files may be at most {_MAX_BASES} deep")
    return _merge(_read_with_base(path.parent / str(base), depth + 1), tree)


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = _merge(cast("dict[str, Any]", old), value) if both else value
    return merged


def read_tree(path: Path) -> dict[str, Any]:
    """A YAML file laid over its `base:` files, as a plain mapping.

    Raises:
        ConfigError: a file is missing or is no mapping, or bases are too deep.
    """
    return _read_with_base(path, depth=0)


def apply_override(tree: dict[str, Any], word: str) -> None:
    """Set one key of a mapping by a word `section.key=value`, the value in YAML.

    Raises:
        ConfigError: the word is of another form.
    """
    dotted, equals, text = word.partition("=")
    if not equals or not dotted:
        raise ConfigError(f"{word!r} is no override: write section.key=value")
    try:
        value = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError:
        raise ConfigError(f"the value in {word!r} is not YAML") from None
    *sections, key = dotted.split(".")
    node = tree
    for section in sections:
        child = node.setdefault(section, {})
        if not isinstance(child, dict):
            raise ConfigError(f"{word!r}: {section} is a value, not a section")
        node = cast("dict[str, Any]", child)
    node[key] = value


def _refuse_unknown_keys(
    tree: Mapping[str, Any], model: type[BaseModel], *, prefix: str, where: str
) -> None:
    for key, value in tree.items():
        field = model.model_fields.get(key)
        if field is None:
            near = difflib.get_close_matches(key, model.model_fields, n=1)
            hint = f"; did you mean {prefix}{near[0]}?" if near else ""
            raise ConfigError(f"{where}: there is no key {prefix}{key}{hint}")
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel) and isinstance(value, dict):
            section = cast("dict[str, Any]", value)
            _refuse_unknown_keys(section, inner, prefix=f"{prefix}{key}.", where=where)


def explain(error: ValidationError | TypeError) -> str:
    """What is wrong with which key, in one line."""
    if isinstance(error, TypeError):
        return str(error)
    parts: list[str] = []
    for item in error.errors(include_url=False):
        key = ".".join(str(part) for part in item["loc"])
        given = f" (given: {item['input']!r})" if key and item["type"] != "missing" else ""
        parts.append(f"{key + ': ' if key else ''}{item['msg']}{given}")
    return "; ".join(parts)
