"""`geoloc cells`: semantic geocells, compared with other partitions of as many cells."""

from __future__ import annotations

import argparse
from pathlib import Path

from geoloc.cli.command import Commands, say


def add_parser(commands: Commands) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser(
        "cells",
        help="partition the Earth by places and features",
        description="Make geocells of the places and features that CONFIG names, and compare them "
        "with other partitions of as many cells. OUT receives cells.parquet (GeoParquet), "
        "result.json and cells.png.",
    )
    parser.add_argument("config", type=Path, help="a YAML file (configs/systems/geocells.yaml)")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="e.g. sizes.count=100")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Make, compare, print; 0 when done."""
    from geoloc.experiment.cells_run import make_cells
    from geoloc.experiment.cells_schema import load_cells_config
    from geoloc.experiment.cells_text import cells_table

    config = load_cells_config(args.config, args.overrides)
    print(cells_table(make_cells(config, out=args.out, say=say)))
    return 0
