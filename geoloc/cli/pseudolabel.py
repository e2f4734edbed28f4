"""`geoloc pseudolabel`: teach an image regressor with stations and pseudo-labels by kriging."""

from __future__ import annotations

import argparse
from pathlib import Path

from geoloc.cli.command import Commands, say


def add_parser(commands: Commands) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser(
        "pseudolabel",
        help="estimate from images what stations measure, with pseudo-labels by kriging",
        description="Learn the stations' measurements of CONFIG from images and covariates, with "
        "and without pseudo-labels that kriging gives to images without a station, and compare at "
        "held-out stations. Writes result.json and pseudolabels.png.",
    )
    parser.add_argument("config", type=Path, help="a YAML file (configs/systems/pseudolabels.yaml)")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="e.g. stations=120")
    parser.add_argument("--out", type=Path, required=True, help="folder of the result")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Learn, compare, print; 0 when done."""
    from geoloc.experiment.loading import load_section
    from geoloc.experiment.pseudo_label_run import run_pseudo_labels
    from geoloc.experiment.pseudo_label_schema import PseudoLabelConfig
    from geoloc.experiment.pseudo_label_text import pseudo_label_terminal

    config = load_section(args.config, args.overrides, PseudoLabelConfig)
    print(pseudo_label_terminal(run_pseudo_labels(config, out=args.out, say=say)))
    return 0
