"""`geoloc diagnose`: the structure of fields and series in space and time, and how they agree."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from geoloc.cli.command import Commands, say

_EPILOG = """\
examples:
  geoloc diagnose package:linke-turbidity --out out/turbidity         a field of a package
  geoloc diagnose truth.npz downscaled.npz --out out/judge            one against the other
  geoloc diagnose stations.csv --column pm25 --time date              series at places
  geoloc diagnose wells.csv --column observed --column predicted      two columns of a table
  geoloc diagnose sunspots.csv --column count --time year             a series of no place
"""


def add_parser(commands: Commands) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser(
        "diagnose",
        help="structure of fields and series in space and time, and how they agree",
        description="Semivariogram, Moran's I, ACF and PACF, lag-RMSE and lag-R2 of each field; of "
        "each field after the first its agreement with the first, the distance of their "
        "distributions and of their semivariograms. In plain words; with --out also as "
        "DIR/report.html, result.json and pictures.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "fields",
        nargs="+",
        metavar="FIELD",
        help="package:linke-turbidity, package:altitude, package:north-america-temperature; an "
        ".npz (values of time, row and column, latitude_deg, longitude_deg, time_day); a .csv or "
        ".parquet with --column. The first is what the others are compared with",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the report")
    parser.add_argument(
        "--column", action="append", metavar="NAME", help="a number of the tables; may be repeated"
    )
    parser.add_argument(
        "--time", metavar="NAME", help="when the rows of the tables are of: ISO 8601, or numbers"
    )
    parser.add_argument(
        "--places",
        type=int,
        default=4000,
        help="looked at of a field with more, drawn evenly over its area (default: 4000)",
    )
    parser.add_argument(
        "--lags", type=int, default=30, help="longest lag in time, in steps (default: 30)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the drawn places")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Look at the fields, and print what was found."""
    from geoloc.experiment.diagnose_run import DiagnoseRequest, run_diagnose
    from geoloc.experiment.diagnose_source import SourceChoice

    request = DiagnoseRequest(
        sources=tuple(args.fields),
        choice=SourceChoice(
            columns=tuple(dict.fromkeys(args.column or ())),
            time=args.time,
            places=args.places,
            seed=args.seed,
        ),
        out=args.out,
        lags=args.lags,
    )
    result = run_diagnose(request, say=say)
    if args.format == "json":
        print(json.dumps(result.to_json(), indent=2, allow_nan=False, ensure_ascii=False))
    else:
        print(result.to_text())
    return 0
