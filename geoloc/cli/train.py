"""`geoloc train`: train what a configuration describes."""

from __future__ import annotations

import argparse
from pathlib import Path

from geoloc.cli.command import Commands, say


def add_parser(commands: Commands) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser(
        "train",
        help="train a model",
        description="Train what CONFIG describes. Keys are changed by section.key=value; "
        "`geoloc config CONFIG` prints them all.",
    )
    parser.add_argument("config", type=Path, help="an experiment's YAML file")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="e.g. resume=auto")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train; 0 when finished, 128 + signal when a signal stopped it after saving."""
    from geoloc.experiment.loading import load_config
    from geoloc.experiment.train_run import train_run

    config = load_config(args.config, args.overrides)
    outcome = train_run(config, say=say)
    stopped = outcome.interrupted_by
    if outcome.summary and stopped is not None:
        print(f"geoloc: stopped by a signal; go on with resume=auto ({config.run_dir})")
    elif outcome.summary:
        print(outcome.summary)
    return 0 if stopped is None else 128 + stopped
