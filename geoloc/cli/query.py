"""`geoloc query`: ask a trained model where images were taken."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from geoloc.cli.command import Commands

_IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}


def add_parser(commands: Commands) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser(
        "query",
        help="ask where images were taken",
        description="Answer with the most likely places of each image. Exit code 2 if any file "
        "was refused; the others are answered all the same.",
    )
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="a file or a folder")
    parser.add_argument("--run", type=Path, dest="run_folder", help="default: newest under runs/")
    parser.add_argument("--gallery", help="one of the run's galleries, or a gallery's folder")
    parser.add_argument("--top-k", type=int, default=5)
    parser.add_argument("--format", choices=("text", "json", "geojson", "csv"), default="text")
    parser.add_argument("--map", type=Path, help="also draw the answers: FILE.html or FILE.png")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Answer every image; 2 if any was refused."""
    from geoloc.errors import ConfigError
    from geoloc.inference import Answer, Geolocator, newest_run
    from geoloc.inference.formats import format_answers

    if args.map is not None and args.map.suffix not in {".html", ".png"}:
        raise ConfigError(f"--map {args.map}: name a file that ends in .html or .png")
    run_folder = args.run_folder or newest_run()
    geolocator = Geolocator.load(run_folder, gallery=args.gallery, device=args.device)
    answers: list[Answer] = []
    refused = 0
    for outcome in geolocator.locate_many(_files(args.images), top_k=args.top_k):
        if isinstance(outcome, Answer):
            answers.append(outcome)
        else:
            refused += 1
            print(f"geoloc: {outcome.source}: {outcome.message}", file=sys.stderr)
    if answers or args.format != "text":
        print(format_answers(answers, args.format))
    if args.map is not None and answers:
        _draw(args.map, answers)
        print(f"map: {args.map}", file=sys.stderr)
    return 2 if refused else 0


def _files(paths: list[Path]) -> Iterator[Path]:
    """Files as they are; folders give their images in order of name."""
    for path in paths:
        if path.is_dir():
            found = (each for each in path.iterdir() if each.suffix.lower() in _IMAGE_SUFFIXES)
            yield from sorted(found) or [path]
        else:
            yield path


def _draw(path: Path, answers: list[Any]) -> None:
    from geoloc.viz import draw_query_map, write_query_page

    if path.suffix == ".html":
        write_query_page(answers, path)
    else:
        draw_query_map(answers, path)
