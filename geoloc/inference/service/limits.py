"""What is judged by a request's headers alone, and the memory that all bodies share."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from geoloc.inference.service.failures import RequestError, busy, malformed, too_many_bytes


def media_type(headers: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The content type in lower case and its parameters; empty where there is none."""
    kind, *rest = headers.get("content-type", "").split(";")
    parameters: dict[str, str] = {}
    for part in rest:
        name, equals, value = part.strip().partition("=")
        if equals:
            parameters[name.strip().lower()] = value.strip().strip('"')
    return kind.strip().lower(), parameters


def declared_bytes(headers: Mapping[str, str], most_bytes: int, most_megabytes: float) -> int:
    """The Content-Length; 0 where the body comes in chunks of unknown number.

    Raises:
        RequestError: 400 it is no number, 413 it is above the limit.
    """
    declared = headers.get("content-length", "0")
    if not (declared.isascii() and declared.isdigit()):
        raise malformed("Content-Length is no number")
    # Digits beyond any number of bytes that exist need not be read as one.
    if len(declared) > 18 or int(declared) > most_bytes:
        raise too_many_bytes(most_megabytes)
    return int(declared)


def check_key(headers: Mapping[str, str], digests: Sequence[bytes]) -> None:
    """Refuse a request without a known key in ``X-API-Key`` or ``Authorization: Bearer``.

    Every known key is compared, in constant time, so that neither the time nor the order tells
    anything.

    Raises:
        RequestError: 401.
    """
    if not digests:
        return
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    given = headers.get("x-api-key") or (bearer.strip() if scheme.lower() == "bearer" else "")
    digest = hashlib.sha256(given.encode("utf-8", "surrogateescape")).digest()
    known = [hmac.compare_digest(digest, each) for each in digests]
    if not any(known):
        raise RequestError(
            401,
            "unauthorized",
            "send an API key as X-API-Key or as Authorization: Bearer",
            headers={"WWW-Authenticate": "Bearer"},
        )


@dataclass(slots=True)
class Allowance:
    """A count that many requests share and none may push beyond its limit.

    Attributes:
        most: the limit.
        taken: how much is in use.
    """

    most: int
    taken: int = 0

    def take(self, amount: int) -> None:
        """Use some of it until it is given back.

        Raises:
            RequestError: 503 there is not so much left.
        """
        if self.taken + amount > self.most:
            raise busy("overloaded", "the service is busy: try again in a moment")
        self.taken += amount

    def give_back(self, amount: int) -> None:
        """End the use of so much."""
        self.taken -= amount
