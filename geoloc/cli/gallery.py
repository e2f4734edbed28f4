"""`geoloc gallery build | places | audit | ranges`: choose, encode and audit places."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from geoloc.cli.command import Commands, say
from geoloc.cli.model_arguments import add_model_arguments

if TYPE_CHECKING:
    from geoloc.experiment.gathered_places import PlacesRequest

_SOURCES = """\
sources of places (--places, SOURCE, --against); several --places are merged:
  training-places            those of --run RUN
  even-land:COUNT            a lattice over land, even by area
  cities                     the gazetteer's 144,563
  geoclip                    GeoCLIP's released 100,000 (package geoclip)
  h3:LEVEL  s2:LEVEL         centres of the cells whose centre is on land (geoloc[cells])
  h3:LEVEL:SOURCE  s2:...    cells that hold places of SOURCE, at their mean (or --at centre)
  quadtree:SPLIT_AT:SOURCE   OSV-5M's quadtree: boxes quartered, ten times at most, while they hold
                             SPLIT_AT places or more
  column:NAME:FILE           the mean place of each value of a table's column (quadtree_10_1000)
  variogram:RANGES.json:COUNT[:SOURCE]
                             over land (or among SOURCE), dense where features change quickly
  FILE.csv .parquet .npy     latitude and longitude in degrees
  FOLDER or shards           a gallery's folder; shards

regions (--within, repeatable): FR,DE  FR-75  region:Bavaria  continent:EU
  bbox:SOUTH,WEST,NORTH,EAST  FILE.geojson .shp .gpkg
"""


def add_parser(commands: Commands) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser("gallery", help="choose, build and audit galleries of places")
    actions = parser.add_subparsers(metavar="build|places|audit|ranges", required=True)
    _add_build(actions)
    _add_places(actions)
    _add_audit(actions)
    _add_ranges(actions)


def _action(actions: Commands, name: str, told: str, description: str) -> argparse.ArgumentParser:
    return actions.add_parser(
        name,
        help=told,
        description=description,
        epilog=None if name == "ranges" else _SOURCES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _add_build(actions: Commands) -> None:
    parser = _action(
        actions,
        "build",
        "encode places with a run's model",
        "Encode places and keep them in RUN/galleries/NAME, for --gallery NAME of query and\n"
        "evaluate.",
    )
    parser.add_argument("--run", type=Path, required=True, dest="run_folder", metavar="RUN")
    parser.add_argument(
        "--places", action="append", metavar="SOURCE", help="default: training-places"
    )
    _add_operations(parser)
    parser.add_argument("--name", help="default: from the sources")
    add_model_arguments(parser)
    parser.set_defaults(run=build)


def _add_places(actions: Commands) -> None:
    parser = _action(
        actions,
        "places",
        "write places to a file, without a model",
        "Merge, restrict and thin places, in this order, and write them to a file.",
    )
    parser.add_argument("source", nargs="+", metavar="SOURCE")
    parser.add_argument("--out", type=Path, required=True, help=".csv, .parquet or .npy")
    parser.add_argument("--run", type=Path, dest="run_folder", metavar="RUN")
    _add_operations(parser)
    parser.set_defaults(run=write)


def _add_operations(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--within", action="append", default=[], metavar="REGION", help="keep places in any of them"
    )
    parser.add_argument(
        "--thin-km", type=float, metavar="KM", help="drop places nearer than this to one that stays"
    )
    parser.add_argument("--thin-to", type=int, metavar="COUNT", help="keep so many, spaced out")
    parser.add_argument(
        "--at", choices=("mean", "centre"), default="mean", help="of cells with places in them"
    )


def _add_audit(actions: Commands) -> None:
    parser = _action(
        actions,
        "audit",
        "what a gallery can reach before a model is asked",
        "Hold a gallery's places against other places: ceilings, gaps by country, duplicates,\n"
        "points at sea.",
    )
    parser.add_argument("source", nargs="+", metavar="SOURCE", help="the gallery's places")
    parser.add_argument(
        "--against",
        action="append",
        required=True,
        metavar="SOURCE",
        help="places that were photographed, or stand for them, such as cities or test.csv",
    )
    parser.add_argument("--run", type=Path, dest="run_folder", metavar="RUN")
    parser.add_argument(
        "--within",
        action="append",
        default=[],
        metavar="REGION",
        help="look at places of --against in any of them only",
    )
    parser.add_argument(
        "--near-m", type=float, default=10.0, metavar="M", help="near duplicates (default: 10 m)"
    )
    parser.add_argument(
        "--countries",
        default="15",
        metavar="COUNT|CODES|all",
        help="in the table: the largest median gaps (default: 15), or codes such as FR,NG",
    )
    parser.add_argument("--map", type=Path, dest="picture", metavar="FILE.png")
    parser.add_argument("--format", choices=("text", "json", "markdown"), default="text")
    parser.set_defaults(run=audit)


def _add_ranges(actions: Commands) -> None:
    parser = _action(
        actions,
        "ranges",
        "measure local effective ranges, for variogram:RANGES.json:COUNT",
        "Measure over what distance features change, region by region.",
    )
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="as for geoloc variogram: a folder of geoloc embed, a feature cache, an .npz, a table "
        "with --column, or shards with --run",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="RANGES.json")
    parser.add_argument("--column", metavar="NAME", help="the number of a table")
    parser.add_argument("--run", type=Path, dest="run_folder", metavar="RUN")
    parser.add_argument(
        "--groups", type=int, default=100, help="spatial groups, five a region (default: 100)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of sampled pairs")
    add_model_arguments(parser)
    parser.set_defaults(run=ranges)


def build(args: argparse.Namespace) -> int:
    """Build, save, say what is in it."""
    from geoloc.experiment.galleries import build_gallery

    folder, gallery = build_gallery(
        args.run_folder,
        _request(args, args.places or ["training-places"]),
        name=args.name,
        say=say,
        device=args.device,
        backbone_weights=args.backbone_weights,
    )
    print(
        f"{len(gallery):,} places in {folder} "
        f"({gallery.duplicates_dropped:,} exact duplicates dropped)"
    )
    return 0


def write(args: argparse.Namespace) -> int:
    """Gather, write, say what was done."""
    from geoloc.experiment.gathered_places import write_places

    for step in write_places(_request(args, args.source), args.out, run_folder=args.run_folder):
        print(step)
    return 0


def audit(args: argparse.Namespace) -> int:
    """Audit, draw, print."""
    from geoloc.evaluation.gallery_audit_text import audit_markdown, audit_text, named_countries
    from geoloc.experiment.audit_gallery import AuditRequest, run_audit
    from geoloc.experiment.gathered_places import PlacesRequest

    found = run_audit(
        AuditRequest(
            gallery=PlacesRequest(sources=tuple(args.source)),
            against=PlacesRequest(sources=tuple(args.against), within=tuple(args.within)),
            near_m=args.near_m,
            picture=args.picture,
            run_folder=args.run_folder,
        )
    )
    if args.format == "json":
        print(json.dumps(found.to_json(), indent=2, allow_nan=False, ensure_ascii=False))
        return 0
    show = audit_text if args.format == "text" else audit_markdown
    print(show(found, countries=named_countries(found, args.countries)))
    return 0


def ranges(args: argparse.Namespace) -> int:
    """Measure, write, print the regions."""
    from geoloc.experiment.local_ranges_run import RangesRequest, measure_local_ranges
    from geoloc.experiment.variogram_source import SourceRequest

    found = measure_local_ranges(
        RangesRequest(
            source=SourceRequest(
                source=args.source,
                column=args.column,
                run_folder=args.run_folder,
                device=args.device,
                backbone_weights=args.backbone_weights,
            ),
            out=args.out,
            groups=args.groups,
            seed=args.seed,
        ),
        say=say,
    )
    print(found.to_text())
    print(f"written: {args.out}")
    return 0


def _request(args: argparse.Namespace, sources: list[str]) -> PlacesRequest:
    from geoloc.experiment.gathered_places import PlacesRequest

    return PlacesRequest(
        sources=tuple(sources),
        within=tuple(args.within),
        thin_km=args.thin_km,
        thin_to=args.thin_to,
        at=args.at,
    )
