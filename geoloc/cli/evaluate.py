"""`geoloc evaluate`: score a trained model on its test splits, or on any shards."""

from __future__ import annotations

import argparse
from pathlib import Path

from geoloc.cli.command import Commands, say
from geoloc.cli.mode_arguments import add_mode_arguments, asked_mode
from geoloc.cli.model_arguments import (
    DECODINGS,
    add_index_argument,
    add_model_arguments,
)


def add_parser(commands: Commands) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser(
        "evaluate",
        help="score a trained model",
        description="Predict a place for every image of the test splits, against each gallery. "
        "RUN/evaluation/SPLIT/ receives GALLERY/predictions.parquet, report.json, report.md, "
        "map.png and curve.png. With --references, image retrieval (images) and both together "
        "(combined) are rows beside the galleries; --csls, --vote-km and --cells each add a row to "
        "every one.",
    )
    parser.add_argument("run_folder", metavar="RUN", type=Path, help="a run's folder")
    parser.add_argument(
        "--data",
        action="append",
        metavar="SHARDS",
        help="shards to evaluate on instead of the run's own splits (NAME=SHARDS names the split)",
    )
    parser.add_argument(
        "--gallery",
        action="append",
        metavar="NAME|FOLDER",
        help="training-places, even-land, or a gallery's folder (default: the first two)",
    )
    parser.add_argument(
        "--protocol",
        action="append",
        help="osv5m-official, osv5m-clean, geoclip or im2gps (default: those of the run's config)",
    )
    parser.add_argument(
        "--decoding",
        action="append",
        choices=DECODINGS,
        help="also answer between the gallery's places: a row GALLERY+DECODING beside each gallery",
    )
    parser.add_argument("--out", type=Path, help="folder of the results (default: RUN/evaluation)")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("--workers", type=int, help="decoding processes (default: as in training)")
    parser.add_argument(
        "--unfinished",
        action="store_true",
        help="evaluate the best model so far of a run that has not finished; the report says so",
    )
    add_mode_arguments(parser)
    add_index_argument(parser)
    add_model_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate and print the table."""
    from geoloc.experiment.evaluate_run import EvaluationRequest, evaluate_run

    request = EvaluationRequest(
        run_folder=args.run_folder,
        data=tuple(args.data or ()),
        galleries=tuple(args.gallery or ()),
        protocols=tuple(args.protocol or ()),
        decodings=tuple(args.decoding or ()),
        out=args.out,
        workers=args.workers,
        device=args.device,
        index=args.index,
        backbone_weights=args.backbone_weights,
        unfinished=args.unfinished,
        mode=asked_mode(args, name=None),
    )
    result = evaluate_run(request, say=say)
    print(result.to_json() if args.format == "json" else result.to_text() + "\n", end="")
    return 0
