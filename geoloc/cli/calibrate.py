"""`geoloc calibrate`: how sure a trained model may be, and how far around an answer to look."""

from __future__ import annotations

import argparse
from pathlib import Path

from geoloc.cli.command import Commands, say
from geoloc.cli.model_arguments import add_model_arguments


def add_parser(commands: Commands) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser(
        "calibrate",
        help="fit a trained model's temperature and conformal radius",
        description="Fit the temperature of the softmax over a gallery and the radius around an "
        "answer that holds the true place with a stated probability, on the validation split, and "
        "measure both on the test splits. RUN/calibration/GALLERY/ receives calibration.json, "
        "which queries use from then on, and reliability.png.",
    )
    parser.add_argument("run_folder", metavar="RUN", type=Path, help="a run's folder")
    parser.add_argument(
        "--validation", metavar="SHARDS", help="shards to fit on (default: the run's validation)"
    )
    parser.add_argument(
        "--test",
        action="append",
        metavar="SHARDS",
        help="shards to measure on instead of the run's own test splits (NAME=SHARDS names the "
        "split)",
    )
    parser.add_argument(
        "--gallery",
        metavar="NAME|FOLDER",
        help="training-places, even-land, or a gallery's folder (default: the run's own)",
    )
    parser.add_argument(
        "--level", type=float, default=0.9, help="of the radius that answers are given with (0.9)"
    )
    parser.add_argument(
        "--score",
        choices=("mass", "scaled", "constant"),
        default="mass",
        help="what makes the radius: the softmax mass it holds (default), the error over the "
        "softmax's spread, or the error alone (one radius for all images)",
    )
    parser.add_argument(
        "--objective",
        choices=("answer", "nearest"),
        default="answer",
        help="log loss that the temperature is fitted by: of the true place lying within 25 to "
        "2500 km of the answer (default), or of its nearest place in the gallery",
    )
    parser.add_argument(
        "--block-km",
        type=float,
        metavar="KM",
        help="make radii that hold in regions without any validation image: blocks of this side "
        "count as one sample each",
    )
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("--workers", type=int, help="decoding processes (default: as in training)")
    add_model_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Calibrate and print the tables."""
    import json

    from geoloc.experiment.calibrate_run import CalibrationRequest, calibrate_run

    request = CalibrationRequest(
        run_folder=args.run_folder,
        validation=args.validation,
        tests=tuple(args.test or ()),
        gallery=args.gallery,
        level=args.level,
        score=args.score,
        objective=args.objective,
        block_km=args.block_km,
        workers=args.workers,
        device=args.device,
        backbone_weights=args.backbone_weights,
    )
    report, folder = calibrate_run(request, say=say)
    if args.format == "json":
        print(json.dumps(report.to_json(), indent=2, allow_nan=False, ensure_ascii=False))
    else:
        print(f"{report.to_text()}calibration and reliability diagram: {folder}")
    return 0
