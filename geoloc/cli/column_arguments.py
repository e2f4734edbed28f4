"""Options that map the columns of other systems' tables to ours."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from geoloc.errors import ConfigError


def add_column_argument(parser: argparse.ArgumentParser) -> None:
    """Declare ``--column OURS=THEIRS``."""
    parser.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="OURS=THEIRS",
        help="another name of a column in FILE, e.g. --column pred_lat_deg=lat",
    )


def column_names(words: Sequence[str]) -> dict[str, str]:
    """Our names to the file's own.

    Raises:
        ConfigError: a word is no pair.
    """
    return dict(column_pair(word, "--column") for word in words)


def column_pair(word: str, option: str) -> tuple[str, str]:
    """One OURS=THEIRS in two.

    Raises:
        ConfigError: it is no pair.
    """
    ours, equals, theirs = word.partition("=")
    if not equals or not ours or not theirs:
        raise ConfigError(f"{option} {word}: write OURS=THEIRS, e.g. pred_lat_deg=lat")
    return ours, theirs
