"""What every command's file knows of argparse, and the one line of progress."""

from __future__ import annotations

import argparse
import sys
from io import TextIOWrapper
from typing import NoReturn, TypeAlias

from tqdm import tqdm

# argparse gives no public name to what `add_subparsers` returns.
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # pyright: ignore[reportPrivateUsage]


def one_line(text: str) -> str:
    """Text without what would begin another line or steer a terminal (in the names of files)."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def show_any_name(*streams: object) -> None:
    """Let streams write file names that are no Unicode, by the escapes that JSON has for them."""
    for stream in streams:
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(line: str) -> None:
    """A line about what is being done, on standard error, above any progress bar."""
    tqdm.write(line, file=sys.stderr)


def show_progress(done: int, total: int) -> None:
    """One line rewritten in place on a terminal, nothing in a file."""
    if sys.stderr.isatty():
        end = "" if done < total else "\n"
        print(f"\r{done:,} of {total:,}", end=end, file=sys.stderr, flush=True)


def progress_bar(what: str, total: int, *, shown: bool) -> tqdm[NoReturn]:
    """A bar that counts images on standard error, only where that is a terminal.

    Args:
        what: shown before the bar.
        total: images in all.
        shown: whether there is to be one at all.
    """
    hidden = not shown or not sys.stderr.isatty()
    return tqdm(desc=what, total=total, unit="image", file=sys.stderr, disable=hidden, leave=False)
