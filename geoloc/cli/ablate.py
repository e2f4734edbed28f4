"""`geoloc ablate`: train the arms of a study under equal conditions, and compare them."""

from __future__ import annotations

import argparse
from pathlib import Path

from geoloc.cli.command import Commands, say


def add_parser(commands: Commands) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser(
        "ablate",
        help="train and compare the arms of a study",
        description="Train every arm of CONFIG with every seed on the same data and budget, and "
        "compare them with paired intervals. An interrupted study goes on when run again.",
    )
    parser.add_argument("config", type=Path, help="a study's YAML file (configs/ablation/)")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="e.g. seeds=[0,1,2]")
    parser.add_argument("--out", type=Path, required=True, help="folder of runs and results")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train, compare, print; 0 when done."""
    from geoloc.experiment.ablation import run_study
    from geoloc.experiment.ablation_schema import load_ablation
    from geoloc.experiment.ablation_text import study_terminal

    study = load_ablation(args.config, args.overrides)
    result = run_study(study, out=args.out, say=say)
    print(study_terminal(study, result))
    return 0
