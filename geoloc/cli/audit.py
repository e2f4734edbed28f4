"""`geoloc audit`: does a test set leak into a training set?"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from geoloc.cli.command import Commands
from geoloc.errors import ConfigError


def add_parser(commands: Commands) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser(
        "audit",
        help="look for leaks between two sets",
        description="Compare a test set with a training set: distances between places, copies, "
        "near duplicates by perceptual hash, shared keys, sequences and creators. Exits with 1 "
        "where more is shared than the limits allow.",
    )
    for side in ("train", "test"):
        parser.add_argument(
            side,
            metavar=side.upper(),
            help="shards, a folder of photos with EXIF, or a table (CSV, parquet) with latitude, "
            "longitude and, for its images, path or file",
        )
    parser.add_argument(
        "--no-images", action="store_true", help="compare places, keys and groups alone"
    )
    parser.add_argument(
        "--hamming", type=int, default=4, help="bits in which near duplicates may differ (4)"
    )
    for option, default, text in (
        ("same-bytes", 0, "exact copies"),
        ("near-duplicates", 0, "near duplicates"),
        ("same-sequence", 0, "samples of shared sequences"),
        ("same-creator", None, "samples of shared creators"),
        ("same-key", None, "samples of shared keys"),
    ):
        shown = "not judged" if default is None else default
        parser.add_argument(
            f"--max-{option}", type=int, default=default, metavar="N", help=f"{text} ({shown})"
        )
    parser.add_argument(
        "--min-km", type=float, metavar="KM", help="no test sample may lie nearer (not judged)"
    )
    parser.add_argument("--pairs", type=Path, help="write the pairs found (.csv, .parquet)")
    parser.add_argument("--workers", type=int, default=1, help="processes (1)")
    parser.add_argument("--format", choices=("text", "json", "markdown"), default="text")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Audit, print, and say by the exit code whether there is a leak."""
    from geoloc.data.audit import audit
    from geoloc.data.audit_report import LeakLimits
    from geoloc.data.audit_set import read_audit_set
    from geoloc.data.sample_table import write_frame
    from geoloc.experiment.progress import progress_of

    if not 0 <= args.hamming <= 16:
        raise ConfigError(f"--hamming {args.hamming}: from 0 to 16; beyond, all images are alike")
    limits = LeakLimits(
        same_bytes=args.max_same_bytes,
        near_duplicate=args.max_near_duplicates,
        same_sequence=args.max_same_sequence,
        same_creator=args.max_same_creator,
        same_key=args.max_same_key,
        nearest_km=args.min_km,
    )
    sides = []
    for source in (args.train, args.test):
        with progress_of(Path(source).name, unit="part") as progress:
            sides.append(
                read_audit_set(
                    source, images=not args.no_images, processes=args.workers, progress=progress
                )
            )
    found = audit(*sides, within=args.hamming, limits=limits)
    if args.pairs is not None:
        write_frame(found.pairs, args.pairs)
    report = found.report
    texts = {
        "json": lambda: json.dumps(report.to_json(), indent=2, allow_nan=False),
        "markdown": report.to_markdown,
        "text": report.to_text,
    }
    print(texts[args.format]())
    return 1 if report.exceeded else 0
