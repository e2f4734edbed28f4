"""`geoloc split`: a table of samples with a column that says train, validation, test or buffer."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from geoloc.cli.command import Commands


def add_parser(commands: Commands) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser(
        "split",
        help="split a table without leaks",
        description="Give whole groups of samples to training, validation or test, and write the "
        "table with a column `split`. Training samples nearer than the buffer to a held-out one "
        "become `buffer`, rows without a place `no_place`: every row is counted.",
    )
    parser.add_argument(
        "table", metavar="TABLE", help="CSV or parquet with latitude and longitude, or shards"
    )
    parser.add_argument(
        "--by", required=True, choices=("cell", "block", "country", "sequence", "creator")
    )
    parser.add_argument("--out", type=Path, required=True, help="file to write (.csv, .parquet)")
    parser.add_argument("--column", help="that names the group (default: by --by)")
    parser.add_argument("--block-km", type=float, default=100.0, help="side of a block (100)")
    parser.add_argument("--test-share", type=float, default=0.1, help="of the samples (0.1)")
    parser.add_argument("--validation-share", type=float, default=0.0, help="of the samples (0)")
    parser.add_argument("--buffer-km", type=float, default=0.0, help="(0)")
    parser.add_argument(
        "--stratify",
        choices=("continent", "country", "none"),
        default="continent",
        help="where the shares are to hold, as far as groups allow (continent)",
    )
    parser.add_argument("--seed", type=int, default=0, help="(0)")
    parser.add_argument("--latitude-column", help="(latitude or lat)")
    parser.add_argument("--longitude-column", help="(longitude, lon or lng)")
    parser.add_argument("--split-column", default="split", help="name of the new column (split)")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Split, write, say how the samples were dealt."""
    from geoloc.data.split_table import SplitRequest, split_table
    from geoloc.data.splits import SplitSettings

    settings = SplitSettings(
        test_share=args.test_share,
        validation_share=args.validation_share,
        buffer_km=args.buffer_km,
        seed=args.seed,
    )
    request = SplitRequest(
        by=args.by,
        column=args.column,
        block_km=args.block_km,
        stratify=args.stratify,
        settings=settings,
        latitude=args.latitude_column,
        longitude=args.longitude_column,
    )
    table, split, report = split_table(args.table, request)
    table.write(args.out, **{args.split_column: split})
    print(json.dumps(report.to_json(), indent=2) if args.format == "json" else report.to_text())
    return 0
