"""`geoloc card`: a model card made from a run."""

from __future__ import annotations

import argparse
from pathlib import Path

from geoloc.cli.command import Commands, say


def add_parser(commands: Commands) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser(
        "card",
        help="write a run's model card",
        description="Write what is known of a run as a model card in Markdown: data, coverage of "
        "the Earth, accuracy by continent, calibration, limits, and what was not measured.",
    )
    parser.add_argument("run_folder", metavar="RUN", type=Path)
    parser.add_argument("--out", type=Path, metavar="FILE.md", help="default: RUN/MODEL_CARD.md")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the card and say where it is."""
    from geoloc.errors import ConfigError
    from geoloc.experiment.card_run import write_card
    from geoloc.experiment.run_directory import RunDirectory

    if args.out is not None and args.out.suffix != ".md":
        raise ConfigError(f"--out {args.out}: name a file that ends in .md")
    print(write_card(RunDirectory(path=args.run_folder), out=args.out, say=say))
    return 0
