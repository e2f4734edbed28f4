"""`geoloc query`: ask a trained model where images were taken."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from geoloc.cli.command import Commands, progress_bar, say
from geoloc.cli.mode_arguments import add_mode_arguments, asked_mode
from geoloc.cli.model_arguments import (
    DECODINGS,
    add_index_argument,
    add_model_arguments,
)
from geoloc.cli.query_arguments import (
    add_input_arguments,
    add_output_arguments,
    add_pace_arguments,
    refuse_contradictions,
)
from geoloc.cli.query_output import opened_output
from geoloc.cli.query_tally import Tally
from geoloc.cli.query_targets import refuse_originals, refuse_targets, written_file
from geoloc.cli.query_truths import read_truths, refuse_ambiguous

if TYPE_CHECKING:
    from geoloc.inference import Geolocator
    from geoloc.inference.asking import AskedImage, Question


def add_parser(commands: Commands) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser(
        "query",
        help="ask where images were taken",
        description="Answer with the most likely places of each image. Images are only ever read. "
        "Exit code 2 if any file was refused; the others are answered all the same.",
    )
    add_input_arguments(parser)
    parser.add_argument(
        "--mode",
        choices=("place", "image", "combined"),
        help="compare with a gallery's places, with reference images, or with both "
        "(default: combined with --references, else place)",
    )
    parser.add_argument("--run", type=Path, dest="run_folder", help="default: newest under runs/")
    parser.add_argument("--gallery", help="one of the run's galleries, or a gallery's folder")
    add_output_arguments(parser)
    add_mode_arguments(parser)
    parser.add_argument(
        "--decoding",
        choices=DECODINGS,
        help="answer with the gallery's best place (argmax), or with a place near it (default: "
        "posterior, but argmax where a --gallery is named or the run is calibrated)",
    )
    add_index_argument(parser)
    add_model_arguments(parser, device="cpu")
    add_pace_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Answer every image; 2 if any was refused."""
    if args.schema:
        from geoloc.inference.schema import schema_text

        print(schema_text(), end="")
        return 0
    refuse_contradictions(args)
    refuse_targets(args)
    from geoloc.inference.answer_lines import FileKey
    from geoloc.inference.asking import AskedImage, Question, query_json
    from geoloc.inference.listing import list_images

    truths = {} if args.truth is None else read_truths(args.truth)
    listed = list_images(_named(args))
    if args.together is None:
        refuse_ambiguous(truths, listed.files)
    refuse_originals(args, listed.files)
    geolocator = _load(args)
    question = Question(top_k=args.top_k, apart_km=args.apart_km, heat=args.heat, exif=args.exif)
    query = query_json(geolocator, question, _mode_words(args))
    tally = Tally(truths=truths, keep=args.map is not None)
    with opened_output(args, query, truths) as output:
        for refusal in listed.refusals:
            tally.refuse(refusal)
            key = FileKey.of(Path(refusal.source))
            if not output.is_done(key):
                output.add(AskedImage(key=key, result=refusal))
        todo = [path for path in listed.files if not output.is_done(FileKey.of(path))]
        with progress_bar("query", len(todo), shown=_counts(args)) as bar:
            for asked in _asked(args, geolocator, question, todo):
                output.add(asked)
                tally.add(asked)
                bar.update()
    before = len(listed.files) - len(todo)
    if listed.folders or args.stdin or len(listed.files) > 1:
        say(tally.pace(len(todo), before=before))
    _tell_the_rest(args, tally, before=before)
    return 2 if tally.refused else 0


def _counts(args: argparse.Namespace) -> bool:
    """Whether a bar tells more than the answers themselves, as they run over the terminal."""
    each = args.together is None and not args.trip
    return each and (args.out is not None or not sys.stdout.isatty())


def _named(args: argparse.Namespace) -> list[Path]:
    """What the command line names; a list on standard input in place of each ``-``."""
    from geoloc.errors import ConfigError
    from geoloc.inference.listing import names_of

    named: list[Path] = []
    for name in [*args.images, *(["-"] if args.stdin else [])]:
        named += names_of(sys.stdin.buffer.read()) if name == "-" else [Path(name)]
    if not named and not args.text:
        raise ConfigError("the list on standard input names nothing: no image to ask about")
    return named


def _load(args: argparse.Namespace) -> Geolocator:
    from geoloc.inference import Geolocator, newest_run

    return Geolocator.load(
        args.run_folder or newest_run(),
        gallery=args.gallery,
        device=args.device,
        index=args.index,
        backbone_weights=args.backbone_weights,
        mode=asked_mode(args, name=args.mode),
        decoding=args.decoding,
    )


def _mode_words(args: argparse.Namespace) -> dict[str, object]:
    """How the arguments change what answers, beside model and gallery."""
    from geoloc.artifacts import sha256_of

    names = (
        *("mode", "references", "combine", "csls", "calibration", "vote_km", "index"),
        *("cells", "cell_score", "cell_probe"),
    )
    words: dict[str, object] = {}
    for name in names:
        value = getattr(args, name)
        if isinstance(value, Path):
            words[name] = os.path.realpath(value)
            # A folder embedded anew may have as many images as before.
            words[f"{name}_sha256"] = sha256_of(
                value / "embedded.json" if value.is_dir() else value
            )
        # By identity: a weight of 0 is a weight.
        elif value is not None and value is not False:
            words[name] = value
    return words


def _asked(
    args: argparse.Namespace, geolocator: Geolocator, question: Question, files: Sequence[Path]
) -> Iterator[AskedImage]:
    from geoloc.inference.asking import AskedImage, ask_files
    from geoloc.inference.asking_together import ask_together, ask_trip, grouped_by_folder

    pace = {"batch_size": args.batch_size, "workers": args.workers}
    if args.trip:
        yield from ask_trip(geolocator, files, question, **pace)
    elif args.together is not None:
        groups = {"": files} if args.together == "all" else grouped_by_folder(files)
        yield from ask_together(geolocator, groups, question, **pace)
    else:
        yield from ask_files(geolocator, files, question, **pace)
    if args.text:
        for answer in geolocator.locate_texts(
            args.text,
            top_k=args.top_k,
            apart_km=args.apart_km,
            heat=args.heat,
            text_weights=args.text_weights,
        ):
            yield AskedImage(key=None, result=answer)


def _tell_the_rest(args: argparse.Namespace, tally: Tally, *, before: int) -> None:
    from geoloc.inference.camera_errors import comparison_text

    if args.exif == "compare":
        if tally.answered or not before:
            say(comparison_text(tally.off_km, images=tally.answered))
        if before:
            say(f"the {before:,} images answered before are not among those compared")
    if args.truth is not None and tally.answered and not tally.matched:
        say(f"geoloc: --truth {args.truth} names none of the images")
    if args.map is not None and tally.kept:
        from geoloc.cli.query_map import draw_map

        draw_map(written_file(args.map), tally.kept, tally.truths, cards=args.map_cards)
        say(f"map: {args.map}")
