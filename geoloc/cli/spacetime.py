"""`geoloc spacetime`: predict the series of places without a station, and measure how well."""

from __future__ import annotations

import argparse
from pathlib import Path

from geoloc.cli.command import Commands, say
from geoloc.errors import ConfigError

_EPILOG = """\
examples:
  geoloc spacetime configs/systems/spacetime.yaml --out runs/spacetime
  geoloc spacetime mine.yaml field=stations.csv stations=80 --out runs/mine
  geoloc spacetime --model runs/mine/model --places asked.csv --out predicted.parquet
"""


def add_parser(commands: Commands) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser(
        "spacetime",
        help="predict a space-time field from stations",
        description="Predict the series of held-out places of the field in CONFIG from its "
        "stations, by temporal bases and networks with kriged residuals, beside kriging of each "
        "time step and a plain network. Writes result.json, spacetime.png, predictions.parquet and "
        "the fitted model. With --model and --places predict other places with such a model.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "config", nargs="?", type=Path, help="a YAML file (configs/systems/spacetime.yaml)"
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="e.g. stations=500")
    parser.add_argument("--model", type=Path, metavar="DIR", help="a fitted model: OUT/model")
    parser.add_argument(
        "--places", type=Path, metavar="FILE", help=".csv or .parquet with latitude and longitude"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="folder of the result; with --model a .parquet or .csv of a row a place and step",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Predict, compare, print; 0 when done."""
    if args.config is None:
        return _predict(args)
    if args.model is not None or args.places is not None:
        raise ConfigError("--model and --places go without a configuration")
    from geoloc.experiment.loading import load_section
    from geoloc.experiment.spacetime_run import run_space_time
    from geoloc.experiment.spacetime_schema import SpaceTimeConfig
    from geoloc.experiment.spacetime_text import space_time_terminal

    config = load_section(args.config, args.overrides, SpaceTimeConfig)
    print(space_time_terminal(run_space_time(config, out=args.out, say=say)))
    return 0


def _predict(args: argparse.Namespace) -> int:
    if args.model is None or args.places is None:
        raise ConfigError("name a configuration, or --model and --places")
    from geoloc.experiment.spacetime_predict import predict_places

    found = predict_places(args.model, args.places, args.out)
    count = found["place"].nunique()
    print(f"{count:,} places, {len(found) // count:,} steps: {args.out}")
    return 0
