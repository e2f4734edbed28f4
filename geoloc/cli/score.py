"""`geoloc score`: score a table of predictions of any system under a named protocol."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from geoloc.cli.command import Commands
from geoloc.errors import ConfigError


def add_parser(commands: Commands) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser(
        "score",
        help="score predictions without a model",
        description="Score a parquet or CSV table with the columns key, true_lat_deg, "
        "true_lon_deg, pred_lat_deg, pred_lon_deg and, for the administrative levels, "
        "unique_country, unique_region, unique_sub-region, unique_city where they are there.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="predictions (.parquet or .csv)")
    parser.add_argument("--protocol", required=True, help="osv5m-official, osv5m-clean or geoclip")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="OURS=THEIRS",
        help="another name of a column in FILE, e.g. --column pred_lat_deg=lat",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the scores."""
    from geoloc.evaluation import protocol_named, read_predictions, score_predictions, scores_text

    columns = dict(_pair(word) for word in args.column)
    protocol = protocol_named(args.protocol)
    scores = score_predictions(read_predictions(args.file, columns=columns), protocol)
    if args.format == "json":
        print(json.dumps(scores.to_json(), indent=2, allow_nan=False))
    else:
        print(scores_text(scores))
    return 0


def _pair(word: str) -> tuple[str, str]:
    ours, equals, theirs = word.partition("=")
    if not equals or not ours or not theirs:
        raise ConfigError(f"--column {word}: write OURS=THEIRS, e.g. pred_lat_deg=lat")
    return ours, theirs
