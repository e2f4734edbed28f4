"""`geoloc query`: ask a trained model where images were taken."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from geoloc.cli.command import Commands

if TYPE_CHECKING:
    from geoloc.inference import Answer

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
    parser.add_argument(
        "--truth",
        type=Path,
        metavar="CSV",
        help="true places for --map: file, latitude, longitude",
    )
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Answer every image; 2 if any was refused."""
    from geoloc.errors import ConfigError
    from geoloc.inference import Answer, Geolocator, Refusal, newest_run
    from geoloc.inference.formats import format_answers

    if args.map is not None and args.map.suffix not in {".html", ".png"}:
        raise ConfigError(f"--map {args.map}: name a file that ends in .html or .png")
    run_folder = args.run_folder or newest_run()
    geolocator = Geolocator.load(run_folder, gallery=args.gallery, device=args.device)
    results = list(geolocator.locate_many(_files(args.images), top_k=args.top_k))
    answers = [result for result in results if isinstance(result, Answer)]
    refusals = [result for result in results if isinstance(result, Refusal)]
    for refusal in refusals:
        print(f"geoloc: {refusal.source}: {refusal.message}", file=sys.stderr)
    print(format_answers(answers if args.format == "text" else results, args.format), end="")
    if args.map is not None and answers:
        _draw(args.map, answers, truth_file=args.truth)
        print(f"map: {args.map}", file=sys.stderr)
    return 2 if refusals else 0


def _files(paths: list[Path]) -> Iterator[Path]:
    """Files as they are; folders give their images in order of name."""
    for path in paths:
        if path.is_dir():
            found = (each for each in path.iterdir() if each.suffix.lower() in _IMAGE_SUFFIXES)
            yield from sorted(found) or [path]
        else:
            yield path


def _draw(path: Path, answers: Sequence[Answer], *, truth_file: Path | None) -> None:
    from geoloc.inference.pictures import open_picture
    from geoloc.viz import draw_query_map, write_query_page

    truths = [None] * len(answers) if truth_file is None else _truths(truth_file, answers)
    images = [open_picture(Path(answer.source), name=answer.source) for answer in answers]
    if path.suffix == ".html":
        write_query_page(
            answers, path, title="Where were these taken?", images=images, truths_deg=truths
        )
    elif len(answers) == 1:
        draw_query_map(answers[0], path, truth_deg=truths[0], image=images[0])
    else:
        draw_query_map(answers, path)


def _truths(file: Path, answers: Sequence[Answer]) -> list[tuple[float, float] | None]:
    """The true places of the answers' images, by file name, from a CSV file."""
    from geoloc.errors import DataError

    try:
        with file.open(encoding="utf-8", newline="") as stream:
            known = {
                row["file"]: (float(row["latitude"]), float(row["longitude"]))
                for row in csv.DictReader(stream)
            }
    except (OSError, KeyError, ValueError) as error:
        raise DataError(
            f"--truth {file}: a CSV with file, latitude and longitude is needed ({error})"
        ) from None
    return [known.get(Path(answer.source).name) for answer in answers]
