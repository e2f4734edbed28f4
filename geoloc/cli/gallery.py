"""`geoloc gallery build`: encode places that a model shall be able to answer with."""

from __future__ import annotations

import argparse
from pathlib import Path

from geoloc.cli.command import Commands, say
from geoloc.cli.model_arguments import add_model_arguments


def add_parser(commands: Commands) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser("gallery", help="build galleries of places")
    actions = parser.add_subparsers(metavar="build", required=True)
    build = actions.add_parser(
        "build",
        help="encode places with a run's model",
        description="Encode places and keep them in RUN/galleries/NAME, for --gallery NAME of "
        "query and evaluate.",
    )
    build.add_argument("--run", type=Path, required=True, dest="run_folder", metavar="RUN")
    build.add_argument(
        "--places",
        default="training-places",
        help="training-places (default), even-land:COUNT, geoclip, a CSV with latitude and "
        "longitude, or shards",
    )
    build.add_argument("--name", help="default: from --places")
    add_model_arguments(build)
    build.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Build, save, say what is in it."""
    from geoloc.experiment.galleries import build_gallery

    folder, gallery = build_gallery(
        args.run_folder,
        args.places,
        name=args.name,
        say=say,
        device=args.device,
        backbone_weights=args.backbone_weights,
    )
    print(
        f"{len(gallery):,} places in {folder} "
        f"({gallery.duplicates_dropped:,} exact duplicates dropped)"
    )
    return 0
