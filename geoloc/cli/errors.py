"""`geoloc errors`: what a system gets wrong where, from a table of its predictions."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from geoloc.cli.column_arguments import add_column_argument, column_names
from geoloc.cli.command import Commands
from geoloc.errors import ConfigError


def add_parser(commands: Commands) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser(
        "errors",
        help="errors by country, by distance to training, their fairness and their reach",
        description="Look at all errors of a parquet or CSV table of predictions (columns as for "
        "`geoloc score`): scores by strata with intervals, fairness over countries, continents and "
        "images, countries guessed too often, Moran's I and the semivariogram of errors.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="predictions (.parquet or .csv)")
    parser.add_argument(
        "--protocol", default="osv5m-clean", help="whose distance and radii (default: osv5m-clean)"
    )
    parser.add_argument(
        "--training",
        type=Path,
        metavar="PLACES",
        help="places of the training set (a CSV, a .npy of degrees, or a run's folder), for strata "
        "by distance to the nearest one and by their density",
    )
    parser.add_argument(
        "--cells",
        type=Path,
        metavar="FILE",
        help="geocells (cells.parquet of `geoloc cells`), for strata by the cell of the true place",
    )
    parser.add_argument(
        "--by",
        metavar="NAME,NAME",
        help="country, continent, region, distance_to_training, training_density, geocell, or "
        "columns of FILE such as climate (default: all that can be told)",
    )
    parser.add_argument(
        "--block-km", type=float, default=500.0, help="side of the bootstrap's blocks (500)"
    )
    parser.add_argument("--resamples", type=int, default=1000, help="draws of the bootstrap (1000)")
    parser.add_argument("--rows", type=int, default=20, help="rows of a table of strata (20)")
    parser.add_argument("--format", choices=("markdown", "json"), default="markdown")
    add_column_argument(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the analysis."""
    if not (math.isfinite(args.block_km) and args.block_km > 0):
        raise ConfigError(f"--block-km {args.block_km:g}: a length above 0")
    if args.resamples < 0 or args.rows < 1:
        raise ConfigError("--resamples is 0 or more, --rows 1 or more")
    by = None if args.by is None else [name for name in args.by.split(",") if name]
    columns = column_names(args.column)
    from geoloc.evaluation.strict_json import strict_json
    from geoloc.experiment.analyse_predictions import analyse_predictions

    analysis = analyse_predictions(
        args.file,
        args.protocol,
        training=args.training,
        cells=args.cells,
        columns=columns,
        by=by,
        block_km=args.block_km,
        resamples=args.resamples,
    )
    if args.format == "json":
        print(strict_json(analysis.to_json(), "analysis"), end="")
    else:
        print(analysis.to_markdown(most_rows=args.rows), end="")
    return 0
