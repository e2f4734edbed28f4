"""`geoloc score`: score tables of predictions of any system, and compare several in pairs."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from geoloc.cli.column_arguments import column_pair
from geoloc.cli.command import Commands
from geoloc.errors import ConfigError, DataError


def add_parser(commands: Commands) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser(
        "score",
        help="score predictions of any system, compare several",
        description="Score parquet or CSV tables with the columns key, true_lat_deg, true_lon_deg, "
        "pred_lat_deg, pred_lon_deg and, for the administrative levels, unique_country, "
        "unique_region, unique_sub-region, unique_city where they are there. Several tables of the "
        "same images are compared in pairs, each with every later one.",
    )
    parser.add_argument(
        "files",
        nargs="+",
        metavar="[NAME=]FILE",
        help="predictions (.parquet or .csv), and what to call them",
    )
    parser.add_argument(
        "--protocol", action="append", help="one of geoloc's protocols (default: all of them)"
    )
    parser.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="[NAME:]OURS=THEIRS",
        help="another name of a column, e.g. pred_lat_deg=lat, in all files or in that of NAME",
    )
    parser.add_argument(
        "--truth",
        type=Path,
        metavar="TABLE",
        help="true places and labels, joined by key, such as OSV-5M's test.csv",
    )
    parser.add_argument(
        "--truth-column",
        action="append",
        default=[],
        metavar="OURS=THEIRS",
        help="another name of a column in TABLE (OSV-5M's are known)",
    )
    parser.add_argument(
        "--missing-as-worst",
        action="store_true",
        help="with --truth: a place without a prediction counts as wrong at every radius, a "
        "prediction without a place is left out; both are counted (default: refused)",
    )
    parser.add_argument(
        "--no-key",
        action="store_true",
        help="the tables have no keys: images are told apart by the number of their row",
    )
    parser.add_argument("--format", choices=("text", "json", "markdown"), default="text")
    parser.add_argument(
        "--resamples", type=int, default=1000, help="draws of the bootstrap; 0: no intervals"
    )
    parser.add_argument(
        "--block-km", type=float, default=500.0, help="side of its blocks (default: 500)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of its draws")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the scores."""
    from geoloc.evaluation import (
        PROTOCOLS,
        ScoredFile,
        ScoreReport,
        compare_tables,
        prediction_table,
        protocol_named,
        same_images,
        score_table,
    )

    _check(args)
    protocols = [protocol_named(name) for name in args.protocol or PROTOCOLS]
    paths = _named(args.files)
    read = _frames(args, paths)
    tables = {name: prediction_table(frame) for name, (frame, _) in read.items()}
    how = {"resamples": args.resamples, "block_km": args.block_km, "seed": args.seed}
    if len(tables) > 1:
        tables = same_images(tables)
    files = [
        ScoredFile(
            name=name,
            path=str(paths[name]),
            scores=score_table(table, protocols, **how),
            unmatched=read[name][1],
        )
        for name, table in tables.items()
    ]
    comparisons = [
        comparison
        for protocol in protocols
        if len(tables) > 1
        for comparison in compare_tables(tables, protocol, **how)
    ]
    report = ScoreReport(files=files, comparisons=comparisons)
    print(_shown(report, args.format), end="")
    return 0


def _shown(report: Any, form: str) -> str:
    if form == "json":
        return report.to_json()
    return report.to_markdown() if form == "markdown" else report.to_text()


def _check(args: argparse.Namespace) -> None:
    if args.no_key and args.truth:
        raise ConfigError("--truth joins by key: it cannot be had with --no-key")
    if args.missing_as_worst and not args.truth:
        raise ConfigError("--missing-as-worst says what to do with the rows of --truth TABLE")
    if args.truth_column and not args.truth:
        raise ConfigError("--truth-column names columns of --truth TABLE")
    if not 0 < args.block_km <= 20_000:
        raise ConfigError(f"--block-km {args.block_km:g}: from above 0 to 20,000 km")
    if args.resamples < 0 or (len(args.files) > 1 and args.resamples < 100):
        raise ConfigError(f"--resamples {args.resamples}: a comparison needs 100 draws or more")


def _named(words: Sequence[str]) -> dict[str, Path]:
    """Each file under its name: as given, or its own without folder where those differ."""
    split = [(w, "", "") if Path(w).is_file() else w.partition("=") for w in words]
    paths = [Path(path if equals else name) for name, equals, path in split]
    stems = [path.stem for path in paths]
    names = [
        name if equals else (path.stem if stems.count(path.stem) == 1 else str(path))
        for (name, equals, _), path in zip(split, paths, strict=True)
    ]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two files are called {name}: write NAME=FILE")
    return dict(zip(names, paths, strict=True))


def _frames(args: argparse.Namespace, paths: Mapping[str, Path]) -> dict[str, tuple[Any, Any]]:
    """Each file's rows with their truth, and what did not match."""
    from geoloc.evaluation import ANSWER_COLUMNS, read_predictions, read_truth
    from geoloc.evaluation.predictions import PLACE_COLUMNS, REQUIRED_COLUMNS

    columns = _columns(args.column, list(paths))
    if args.truth:
        truth = read_truth(
            args.truth, dict(column_pair(w, "--truth-column") for w in args.truth_column)
        )
        return {
            name: _joined(
                name,
                read_predictions(path, columns[name], required=ANSWER_COLUMNS),
                truth,
                missing_as_worst=args.missing_as_worst,
            )
            for name, path in paths.items()
        }
    required = PLACE_COLUMNS if args.no_key else REQUIRED_COLUMNS
    frames: dict[str, tuple[Any, Any]] = {}
    for name, path in paths.items():
        frame = read_predictions(path, columns[name], required=required)
        if args.no_key:
            frame = frame.assign(key=[f"row {row}" for row in range(len(frame))])
        frames[name] = (frame, None)
    return frames


def _joined(name: str, frame: Any, truth: Any, *, missing_as_worst: bool) -> tuple[Any, Any]:
    from geoloc.evaluation import with_truth

    try:
        return with_truth(frame, truth, missing_as_worst=missing_as_worst)
    except DataError as error:
        raise DataError(f"{name}: {error}") from None


def _columns(words: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Our names of columns to theirs, for each file."""
    columns: dict[str, dict[str, str]] = {name: {} for name in names}
    for word in words:
        owner = next((name for name in names if word.startswith(f"{name}:")), None)
        ours, theirs = column_pair(word if owner is None else word[len(owner) + 1 :], "--column")
        for name in names if owner is None else [owner]:
            columns[name][ours] = theirs
    return columns
