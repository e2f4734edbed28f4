"""`geoloc query`: ask a trained model where images were taken."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from geoloc.cli.command import Commands, one_line
from geoloc.cli.mode_arguments import add_mode_arguments, asked_mode
from geoloc.cli.model_arguments import (
    DECODINGS,
    add_index_argument,
    add_model_arguments,
)

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
    parser.add_argument("images", nargs="*", type=Path, metavar="IMAGE", help="a file or a folder")
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
        "--mode",
        choices=("place", "image", "combined"),
        help="compare with a gallery's places, with reference images, or with both "
        "(default: combined with --references, else place)",
    )
    parser.add_argument("--run", type=Path, dest="run_folder", help="default: newest under runs/")
    parser.add_argument("--gallery", help="one of the run's galleries, or a gallery's folder")
    parser.add_argument("--top-k", type=int, default=5)
    parser.add_argument("--format", choices=("text", "json", "geojson", "csv"), default="text")
    parser.add_argument("--map", type=Path, help="also draw the answers: FILE.html or FILE.png")
    parser.add_argument(
        "--truth",
        type=Path,
        metavar="CSV",
        help="true places for the text and --map: file, latitude, longitude",
    )
    add_mode_arguments(parser)
    parser.add_argument(
        "--decoding",
        choices=DECODINGS,
        help="answer with the gallery's best place (argmax), or with a place near it (default: "
        "posterior, but argmax where a --gallery is named or the run is calibrated)",
    )
    add_index_argument(parser)
    add_model_arguments(parser, device="cpu")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Answer every image; 2 if any was refused."""
    from geoloc.errors import ConfigError
    from geoloc.inference import Answer, Geolocator, Refusal, newest_run
    from geoloc.inference.formats import format_answers, to_text

    if args.map is not None and args.map.suffix not in {".html", ".png"}:
        raise ConfigError(f"--map {args.map}: name a file that ends in .html or .png")
    if args.map is not None and args.text:
        raise ConfigError("--map draws the answers of images: leave --text out")
    if not args.images and not args.text:
        raise ConfigError("nothing to ask about: name an image, a folder, or a --text")
    run_folder = args.run_folder or newest_run()
    geolocator = Geolocator.load(
        run_folder,
        gallery=args.gallery,
        device=args.device,
        index=args.index,
        backbone_weights=args.backbone_weights,
        mode=asked_mode(args, name=args.mode),
        decoding=args.decoding,
    )
    results = list(geolocator.locate_many(_files(args.images), top_k=args.top_k))
    if args.text:
        results += geolocator.locate_texts(
            args.text, top_k=args.top_k, text_weights=args.text_weights
        )
    answers = [result for result in results if isinstance(result, Answer)]
    refusals = [result for result in results if isinstance(result, Refusal)]
    for refusal in refusals:
        print(f"geoloc: {one_line(f'{refusal.source}: {refusal.message}')}", file=sys.stderr)
    truths = {} if args.truth is None else _truths(args.truth, answers)
    if args.format == "text":
        print(to_text(answers, truths), end="")
    else:
        print(format_answers(results, args.format), end="")
    if args.map is not None and answers:
        _draw(args.map, answers, truths)
        print(f"map: {args.map}", file=sys.stderr)
    return 2 if refusals else 0


def _files(paths: list[Path]) -> Iterator[Path]:
    """Files as they are; folders give their images in order of name."""
    for path in paths:
        try:
            inside = sorted(path.iterdir()) if path.is_dir() else []
        except (OSError, ValueError):
            # Closed to us, or a name that no file can have: refused when it is opened.
            inside = []
        yield from [each for each in inside if each.suffix.lower() in _IMAGE_SUFFIXES] or [path]


def _draw(
    path: Path, answers: Sequence[Answer], known_deg: Mapping[str, tuple[float, float]]
) -> None:
    from geoloc.inference.pictures import open_picture
    from geoloc.viz import draw_query_map, write_query_page

    truths = [known_deg.get(answer.source) for answer in answers]
    images = [open_picture(Path(answer.source), name=answer.source) for answer in answers]
    if path.suffix == ".html":
        write_query_page(
            answers, path, title="Where were these taken?", images=images, truths_deg=truths
        )
    elif len(answers) == 1:
        draw_query_map(answers[0], path, truth_deg=truths[0], image=images[0])
    else:
        draw_query_map(answers, path)


def _truths(file: Path, answers: Sequence[Answer]) -> dict[str, tuple[float, float]]:
    """The true places of the answers' images, by source, from a CSV file with file names."""
    import numpy as np

    from geoloc.errors import DataError
    from geoloc.geodesy import is_valid_latlon

    try:
        with file.open(encoding="utf-8", newline="") as stream:
            known = {
                row["file"]: (float(row["latitude"]), float(row["longitude"]))
                for row in csv.DictReader(stream)
            }
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise DataError(
            f"--truth {file}: a CSV with file, latitude and longitude is needed ({error})"
        ) from None
    for name, place in known.items():
        if not is_valid_latlon(np.array(place)):
            raise DataError(f"--truth {file}: {name} is at {place}, which is not on Earth")
    named = {answer.source: Path(answer.source).name for answer in answers}
    truths = {source: known[name] for source, name in named.items() if name in known}
    if answers and not truths:
        print(f"geoloc: --truth {file} names none of the images", file=sys.stderr)
    return truths
