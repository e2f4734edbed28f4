"""`geoloc config`: print an experiment with every default filled in."""

from __future__ import annotations

import argparse
from pathlib import Path

from geoloc.cli.command import Commands


def add_parser(commands: Commands) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser("config", help="print a resolved configuration")
    parser.add_argument("config", type=Path, help="an experiment's YAML file")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="e.g. data.workers=4")
    parser.add_argument("--hash", action="store_true", help="print its hash alone")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the resolved configuration as YAML, or its hash."""
    from geoloc.experiment.loading import config_hash, config_yaml, load_config

    config = load_config(args.config, args.overrides)
    print(config_hash(config) if args.hash else config_yaml(config).rstrip())
    return 0
