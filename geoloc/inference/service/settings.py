"""Every key of the service's configuration, with its unit and its default."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from geoloc.data.decoding import MAX_PIXELS
from geoloc.errors import ConfigError

Positive = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(ge=1)]

SHORTEST_KEY = 16
"""Characters that an API key must have at least; `openssl rand -hex 32` gives 64."""


# JSON may spell a character beyond U+FFFF as two escapes of six bytes.
_ESCAPED_BYTES = 12
_AROUND_TEXTS_BYTES = 1024


class _Section(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class LimitsSection(_Section):
    """What one request, and all of them together, may ask for.

    `request_megabytes`: the whole body; `memory_megabytes`: the bodies of all requests that are
    being read or answered. `megapixels`: width times height of an image by its header; images above
    are refused without being decoded. `images`: of one request. `queue_images`: images (and texts)
    that have been read and not yet answered; beyond that, 503. `requests`, `connections`: at once.
    `header_seconds`, `upload_seconds`, `answer_seconds`: how long headers, the body and the answer
    may take. `send_seconds`: in which a client must take some 100 kB of its answer, or its end.
    """

    request_megabytes: Positive = 50.0
    memory_megabytes: Positive = 200.0
    megapixels: Annotated[float, Field(gt=0.0, le=MAX_PIXELS / 1e6)] = 50.0
    images: Count = 16
    texts: Count = 16
    text_characters: Count = 500
    top_k: Annotated[int, Field(ge=5)] = 20
    queue_images: Count = 64
    requests: Count = 256
    connections: Count = 512
    header_kilobytes: Count = 16
    header_seconds: Positive = 10.0
    upload_seconds: Positive = 30.0
    answer_seconds: Positive = 30.0
    send_seconds: Positive = 20.0

    @property
    def words_megabytes(self) -> float:
        """The most that a question in words can take in JSON, of one body."""
        longest = self.texts * self.text_characters * _ESCAPED_BYTES + _AROUND_TEXTS_BYTES
        return min(self.request_megabytes, longest / 1e6)

    @model_validator(mode="after")
    def _fit_together(self) -> LimitsSection:
        if max(self.images, self.texts) > self.queue_images:
            raise ValueError("a request's images and texts must fit into queue_images")
        if self.request_megabytes > self.memory_megabytes:
            raise ValueError("a request of request_megabytes must fit into memory_megabytes")
        return self


class BatchingSection(_Section):
    """How images of different requests share the model.

    `images`: go through the model at once, at most. `wait_ms`: how long a lone image waits for
    others. `decoding_threads`: that turn bytes into pixels.
    """

    images: Count = 16
    wait_ms: Annotated[float, Field(ge=0.0, le=1000.0)] = 4.0
    decoding_threads: Count = 2


class AccessSection(_Section):
    """Who may ask.

    Keys from `api_keys`, from the lines of `api_keys_file` (but those that begin with #) and from
    the words of the environment variable named by `api_keys_variable` count alike; with none at all
    the service is open. They are asked for under /v1/ and /metrics. `cors_origins`: other pages
    whose scripts may ask.
    """

    api_keys: tuple[SecretStr, ...] = ()
    api_keys_file: Path | None = None
    api_keys_variable: str | None = None
    cors_origins: tuple[str, ...] = ()

    @property
    def asks_for_keys(self) -> bool:
        """Whether any source of keys is named."""
        return bool(self.api_keys or self.api_keys_file or self.api_keys_variable)


class ServiceSettings(_Section):
    """The service: where it listens, how exact its answers are, and its limits.

    `coarse_km`: answers are snapped to cells of this size (see `geoloc.inference.coarseness`); 0
    leaves them as exact as the model. `explain`: whether /v1/explain answers.
    `shutdown_seconds`: how long requests may take to finish after SIGTERM. `access_log`: a line a
    request: method, route, status and time, never names or addresses.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    coarse_km: Annotated[float, Field(ge=0.0, le=2000.0)] = 25.0
    explain: bool = False
    shutdown_seconds: Positive = 20.0
    access_log: bool = True
    limits: LimitsSection = Field(default_factory=LimitsSection)
    batching: BatchingSection = Field(default_factory=BatchingSection)
    access: AccessSection = Field(default_factory=AccessSection)


def key_digests(access: AccessSection) -> tuple[bytes, ...]:
    """SHA-256 of every API key of the configuration, its file and its environment variable.

    Raises:
        ConfigError: the file cannot be read, a source that is named holds no key, or a key is
            shorter than `SHORTEST_KEY`.
    """
    keys = [secret.get_secret_value() for secret in access.api_keys]
    if access.api_keys_file is not None:
        keys += _named("access.api_keys_file", _key_lines(access.api_keys_file))
    if access.api_keys_variable is not None:
        words = os.environ.get(access.api_keys_variable, "").replace(",", " ").split()
        keys += _named("access.api_keys_variable", words)
    if any(len(key) < SHORTEST_KEY for key in keys):
        raise ConfigError(
            f"an API key has at least {SHORTEST_KEY} characters: make one with openssl rand -hex 32"
        )
    return tuple(hashlib.sha256(key.encode()).digest() for key in keys)


def _named(source: str, keys: list[str]) -> list[str]:
    # A service that was meant to be closed must not open because its key got lost.
    if not keys:
        raise ConfigError(f"{source} names a place without any API key")
    return keys


def _key_lines(path: Path) -> list[str]:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"access.api_keys_file {path} cannot be read") from None
    keys = [line for line in lines if line and not line.startswith("#")]
    # Words of a remark without its # would be keys that everybody can guess.
    if any(len(key.split()) > 1 for key in keys):
        raise ConfigError(f"access.api_keys_file {path} has a key a line; remarks begin with #")
    return keys
