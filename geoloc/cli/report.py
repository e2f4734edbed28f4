"""`geoloc report`: one page of what a run's evaluations found, or of how runs compare."""

from __future__ import annotations

import argparse
from pathlib import Path

from geoloc.cli.command import Commands, say


def add_parser(commands: Commands) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser(
        "report",
        help="one page on evaluated runs",
        description="Write one HTML file, without network or script, over all evaluations of a "
        "run; of several runs, compare each with every later one on the images they share.",
    )
    parser.add_argument(
        "run_folders", nargs="+", type=Path, metavar="RUN", help="folders of evaluated runs"
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="of one run, the folder of its evaluations, which receives the page too (default: "
        "RUN/evaluation); of several, the folder of the results (default: runs/comparison)",
    )
    parser.add_argument(
        "--gallery", help="whose answers are compared (default: the first that all runs have)"
    )
    parser.add_argument(
        "--protocol",
        action="append",
        help="of the comparison (default: the first of the first run's report)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the page and say where it is."""
    from geoloc.errors import ConfigError
    from geoloc.experiment.run_directory import RunDirectory
    from geoloc.experiment.run_report import write_run_report
    from geoloc.experiment.runs_report import write_runs_report

    runs = [RunDirectory(path=folder) for folder in args.run_folders]
    if len(runs) == 1:
        if args.gallery or args.protocol:
            raise ConfigError("--gallery and --protocol are of a comparison: name two runs or more")
        page = write_run_report(runs[0], folder=args.out, say=say)
    else:
        page = write_runs_report(
            _names(args.run_folders),
            args.out or Path("runs/comparison"),
            say=say,
            gallery=args.gallery,
            protocols=tuple(args.protocol or ()),
        )
    print(page)
    return 0


def _names(folders: list[Path]) -> dict[str, Path]:
    """The evaluations of each run by its folder's name, or by its path where names are alike."""
    from geoloc.errors import ConfigError
    from geoloc.experiment.run_directory import RunDirectory

    names = [folder.resolve().name for folder in folders]
    told = [
        name if names.count(name) == 1 else str(folder)
        for name, folder in zip(names, folders, strict=True)
    ]
    if len(set(told)) < len(told):
        raise ConfigError("a run is named twice: it cannot be compared with itself")
    return {
        name: RunDirectory(path=folder).evaluation
        for name, folder in zip(told, folders, strict=True)
    }
