"""`geoloc report`: one page of what a run's evaluations found, or of how runs compare."""

from __future__ import annotations

from pathlib import Path

from geoloc.cli.command import Commands


def add_parser(commands: Commands) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser(
        "report",
        help="one page on evaluated runs",
        description="Write one HTML file, without network or script, over all evaluations of a "
        "run; of several runs, compare each with the first on the images they share.",
    )
    parser.add_argument(
        "run_folders", nargs="+", type=Path, metavar="RUN", help="folders of evaluated runs"
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="folder of the results (default: RUN/evaluation, or runs/comparison for several)",
    )
    parser.add_argument(
        "--gallery", help="whose answers are compared (default: the first that all runs have)"
    )
    parser.add_argument(
        "--protocol", help="of the comparison (default: the first of the first run's report)"
    )
    parser.set_defaults(run=run)
