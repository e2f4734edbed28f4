"""The command line: parses, calls, prints; the only room with print."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from geoloc._version import __version__
from geoloc.cli import (
    ablate,
    audit,
    calibrate,
    card,
    cells,
    cluster,
    config,
    diagnose,
    downscale,
    embed,
    errors,
    evaluate,
    explain,
    gallery,
    krige,
    pseudolabel,
    query,
    report,
    score,
    serve,
    shards,
    spacetime,
    split,
    train,
    variogram,
)
from geoloc.cli.command import one_line, show_any_name
from geoloc.errors import GeolocError

__all__ = ["main"]

_COMMANDS = (
    *(train, evaluate, calibrate, report, ablate, query, explain, card, serve),
    *(score, errors, shards, split, audit, embed, gallery, variogram, diagnose),
    *(cluster, cells, krige, pseudolabel, spacetime, downscale, config),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `geoloc COMMAND ...` and return its exit code.

    Exit codes: 0 done, 1 the answer is no (damaged shards), 2 bad input or a deliberate error,
    128 + number of the signal when one ended training after saving (130 SIGINT, 138 SIGUSR1, 143
    SIGTERM).
    """
    # Idle threads that spin slow each other down several times over on a shared machine; set before
    # torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    show_any_name(sys.stdout, sys.stderr)
    args = _parser().parse_args(argv)
    logging.basicConfig(
        level=logging.INFO if args.verbose else logging.WARNING,
        format="%(name)s: %(message)s",
        stream=sys.stderr,
    )
    try:
        return int(args.run(args))
    except GeolocError as error:
        print(f"geoloc: {one_line(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("geoloc: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of a pipe went away: say nothing more, not even at the interpreter's exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        # A full disk, a folder closed to us, a name that no file can have.
        name = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        print(f"geoloc: {one_line(f'{name}{error.strerror or error}')}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="geoloc", description="Learn, measure and ask where on Earth an image was taken."
    )
    parser.add_argument("--version", action="version", version=f"geoloc {__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="log what is done")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add_parser(commands)
    return parser
