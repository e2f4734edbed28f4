"""`geoloc spacetime`: predict the series of places without a station, and measure how well."""

from __future__ import annotations

import argparse
from pathlib import Path

from geoloc.cli.command import Commands, say


def add_parser(commands: Commands) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser(
        "spacetime",
        help="predict a space-time field from stations",
        description="Predict the series of held-out places of the field in CONFIG from its "
        "stations, by temporal bases and networks with kriged residuals, beside kriging of each "
        "time step and a plain network. Writes result.json and spacetime.png.",
    )
    parser.add_argument("config", type=Path, help="a YAML file (configs/systems/spacetime.yaml)")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="e.g. stations=500")
    parser.add_argument("--out", type=Path, required=True, help="folder of the result")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Predict, compare, print; 0 when done."""
    from geoloc.experiment.loading import load_section
    from geoloc.experiment.spacetime_run import run_space_time
    from geoloc.experiment.spacetime_schema import SpaceTimeConfig
    from geoloc.experiment.spacetime_text import space_time_terminal

    config = load_section(args.config, args.overrides, SpaceTimeConfig)
    print(space_time_terminal(run_space_time(config, out=args.out, say=say)))
    return 0
