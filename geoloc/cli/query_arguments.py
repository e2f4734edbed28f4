"""The arguments of `geoloc query`, and which of them do not go together."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

FORMATS = ("text", "json", "jsonl", "geojson", "csv", "kml")
_WHAT_TO_ASK = "nothing to ask about: name an image, a folder, or a --text"
# (what is wrong where it holds, what to say)
Rule: TypeAlias = tuple[bool, str]


def add_input_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what is asked about."""
    parser.add_argument(
        "images",
        nargs="*",
        metavar="IMAGE",
        help="a file, a folder with all folders below it, or - for a list on standard input",
    )
    parser.add_argument(
        "--stdin",
        action="store_true",
        help="read names of files and folders from standard input, one a line or each ended by NUL",
    )
    parser.add_argument(
        "--text",
        action="append",
        default=[],
        help="ask where an image with this caption was taken (models on a CLIP of open_clip only)",
    )
    parser.add_argument(
        "--text-weights",
        type=Path,
        metavar="FILE",
        help="the whole CLIP for --text, where the model's own weights have no text tower",
    )
    parser.add_argument(
        "--exif",
        choices=("ignore", "report", "compare", "skip"),
        default="ignore",
        help="places in the images' EXIF data: not even read (default), shown beside the answers, "
        "compared with them, or taken instead of an answer",
    )
    several = parser.add_mutually_exclusive_group()
    several.add_argument(
        "--together",
        choices=("all", "folders"),
        help="one answer for all images, or for those of each folder: they are of one place",
    )
    several.add_argument(
        "--trip",
        action="store_true",
        help="the images are one journey: order them by the times in their EXIF data and let each "
        "answer profit from the others",
    )


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what is written where."""
    parser.add_argument("--top-k", type=int, default=5)
    parser.add_argument(
        "--apart-km",
        type=float,
        metavar="KM",
        help="places of one answer lie so far apart at least (default: what the gallery can tell "
        "apart; 0: any)",
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        help="default: what the ending of --out says, else text",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="write the answers there, whole or not at all (jsonl: line by line)",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the JSON lines in --out: images that have their line are not asked again",
    )
    parser.add_argument(
        "--heat", action="store_true", help="json, jsonl: with the posterior over the globe"
    )
    parser.add_argument("--map", type=Path, help="also draw the answers: FILE.html or FILE.png")
    parser.add_argument(
        "--map-cards",
        type=int,
        default=30,
        metavar="N",
        help="images that FILE.html shows with photo and maps; the others stand in a table "
        "(default: 30)",
    )
    parser.add_argument(
        "--truth",
        type=Path,
        metavar="CSV",
        help="true places for the text and --map: file, latitude, longitude",
    )
    parser.add_argument(
        "--schema", action="store_true", help="print the JSON Schema of json and jsonl, and end"
    )


def add_pace_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare how images are fed to the model."""
    parser.add_argument(
        "--batch-size",
        type=int,
        default=32,
        metavar="N",
        help="images that go through the model at once (default: 32)",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=min(8, os.cpu_count() or 1),
        metavar="N",
        help="threads that read images ahead of the model (default: as many as cores, at most 8)",
    )


def asked_format(args: argparse.Namespace) -> str:
    """The form of the answers: as asked, else by the ending of ``--out``, else text."""
    ending = "" if args.out is None else args.out.suffix.lower().removeprefix(".")
    return args.format or (ending if ending in FORMATS else "text")


def _says_no_form(args: argparse.Namespace) -> bool:
    known = {"", ".txt", *(f".{form}" for form in FORMATS)}
    return args.format is None and args.out is not None and args.out.suffix.lower() not in known


def refuse_contradictions(args: argparse.Namespace) -> None:
    """See that arguments fit each other before anything is loaded.

    Raises:
        ConfigError: two of them do not.
    """
    _refuse(_input_rules(args))
    _refuse(_output_rules(args))


def _input_rules(args: argparse.Namespace) -> list[Rule]:
    several = bool(args.together or args.trip)
    how = "--trip" if args.trip else "--together"
    cells_first = args.cells is not None or args.cell_score is not None
    no_place = args.exif == "skip" or (args.together is not None and args.exif != "ignore")
    return [
        (not args.images and not args.stdin and not args.text, _WHAT_TO_ASK),
        # As a path an empty name would be the whole current folder.
        ("" in args.images, "an IMAGE has an empty name: name a file or a folder (. is this one)"),
        (several and bool(args.text), f"{how} is of images: leave --text out"),
        (several and no_place, f"{how} asks about all images: leave --exif {args.exif} out"),
        (several and cells_first, f"{how} compares with all places: leave cells out"),
    ]


def _output_rules(args: argparse.Namespace) -> list[Rule]:
    form = asked_format(args)
    lines = form == "jsonl"
    drawn = args.map is not None
    good = {".html", ".png"}
    alone = bool(args.together or args.trip or args.text)
    return [
        (_says_no_form(args), f"--out {args.out}: its ending is that of no form: add --format"),
        (
            args.heat and form not in {"json", "jsonl"},
            f"--heat is for json and jsonl, not for {form}",
        ),
        (
            args.truth is not None and form != "text" and not drawn,
            f"--truth is for text and --map, not for {form}",
        ),
        (
            drawn and args.map.suffix.lower() not in good,
            f"--map {args.map}: name a .html or .png file",
        ),
        (drawn and bool(args.text), "--map draws the answers of images: leave --text out"),
        (args.map_cards < 0, f"--map-cards must be at least 0, not {args.map_cards}"),
        (args.resume and args.out is None, "--resume goes on with a file: name it by --out"),
        (args.resume and not lines, "--resume goes on with JSON lines: --out FILE.jsonl"),
        (args.resume and drawn, "--map draws the answers of one whole query: leave --resume out"),
        (
            args.resume and alone,
            "--resume goes on image by image: leave --together, --trip and --text out",
        ),
    ]


def _refuse(rules: Sequence[Rule]) -> None:
    from geoloc.errors import ConfigError

    for wrong, message in rules:
        if wrong:
            raise ConfigError(message)
