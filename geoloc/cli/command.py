"""What every command's file knows of argparse, and the one line of progress."""

from __future__ import annotations

import argparse
import sys
from typing import TypeAlias

from tqdm import tqdm

# argparse gives no public name to what `add_subparsers` returns.
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # pyright: ignore[reportPrivateUsage]


def say(line: str) -> None:
    """A line about what is being done, on standard error, above any progress bar."""
    tqdm.write(line, file=sys.stderr)


def show_progress(done: int, total: int) -> None:
    """One line rewritten in place on a terminal, nothing in a file."""
    if sys.stderr.isatty():
        end = "" if done < total else "\n"
        print(f"\r{done:,} of {total:,}", end=end, file=sys.stderr, flush=True)
