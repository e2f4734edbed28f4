"""`geoloc krige`: estimate a number between stations, with its error, checked and mapped."""

from __future__ import annotations

import argparse
from pathlib import Path

from geoloc.cli.command import Commands, say

_EPILOG = """\
examples:
  geoloc krige stations.csv column=pm25 unit=ug/m3 --out out/pm25           a map of a number
  geoloc krige stations.csv column=pm25 time=date --out out/days            of every day
  geoloc krige stations.csv column=pm25 targets=schools.csv --out out/near  at the places of a table
  geoloc krige soil.csv column=zinc metric=euclidean lag_unit=m --out out/zinc       by x and y
  geoloc krige configs/systems/kriging.yaml --out runs/kriging              a field of a package
"""


def add_parser(commands: Commands) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser(
        "krige",
        help="estimate a number between stations, with its error",
        description="Fit the semivariogram of the stations of SOURCE, check it by leaving stations "
        "out one by one and in blocks, and krige to a grid or to the places of a table. DIR "
        "receives result.json, kriged.npz (.csv, .parquet), kriged.png, variogram.png and "
        "validation.csv. All keys: docs/kriging.md.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "source",
        type=Path,
        metavar="SOURCE",
        help="a table (.csv, .parquet), or a YAML file of settings (configs/systems/kriging.yaml)",
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="e.g. grid.step=0.5")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of results")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Fit, check, krige, write, print; 0 when done."""
    from geoloc.data.sample_table import is_table
    from geoloc.experiment.krige_run import run_krige
    from geoloc.experiment.krige_schema import KrigeConfig
    from geoloc.experiment.krige_text import krige_terminal
    from geoloc.experiment.loading import load_section, section_of

    if is_table(args.source):
        config = section_of({"source": str(args.source)}, args.overrides, KrigeConfig)
    else:
        config = load_section(args.source, args.overrides, KrigeConfig)
    print(krige_terminal(run_krige(config, out=args.out, say=say)))
    return 0
