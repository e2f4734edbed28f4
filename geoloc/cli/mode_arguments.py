"""The arguments of the retrieval modes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from geoloc.inference.modes import RetrievalMode


def add_mode_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what modes are set by: references, their weight, hubs, a vote, cells."""
    parser.add_argument(
        "--references",
        type=Path,
        metavar="FOLDER",
        help="reference images with places, as `geoloc embed` writes them",
    )
    parser.add_argument(
        "--combine",
        type=float,
        metavar="WEIGHT",
        help="weight of the images where places and images are combined, 0 to 1 (default: 0.5)",
    )
    parser.add_argument(
        "--csls",
        action="store_true",
        help="hold back candidates that are near to all queries (hubs)",
    )
    parser.add_argument(
        "--calibration",
        type=Path,
        metavar="FOLDER",
        help="embedded training or validation images that tell hubs (default: the references)",
    )
    parser.add_argument(
        "--vote-km",
        type=float,
        metavar="KM",
        help="let the 50 nearest vote, by a kernel of this bandwidth",
    )
    parser.add_argument(
        "--cells",
        type=Path,
        metavar="FILE",
        help="seek the best geocell first (cells.parquet of `geoloc cells`), then a place in it",
    )
    parser.add_argument(
        "--cell-score",
        choices=("mass", "max", "centroid", "head"),
        help="what cells are told by: summed softmax of their places, the best, their mean "
        "(default: centroid), or the head of a run trained with cells, which needs no --cells",
    )
    parser.add_argument(
        "--cell-probe",
        type=int,
        metavar="N",
        help="how many of the best cells are searched together (default: 8)",
    )


def asked_mode(args: argparse.Namespace, *, name: str | None) -> RetrievalMode | None:
    """The mode that the arguments ask for; None where they ask for nothing but a gallery.

    Args:
        args: the parsed arguments.
        name: of the mode; None is ``combined`` with references and ``place`` without.

    Raises:
        ConfigError: an argument is of no use without another one.
    """
    from geoloc.errors import ConfigError
    from geoloc.inference.modes import WEIGHT, RetrievalMode

    by_head = args.cell_score == "head"
    if args.cells is None and not by_head and (args.cell_score, args.cell_probe) != (None, None):
        raise ConfigError("--cell-score and --cell-probe need --cells FILE, or --cell-score head")
    asked = (
        *(args.references, args.combine, args.calibration, args.vote_km),
        *(args.cells, args.cell_score, name),
    )
    if all(value is None for value in asked) and not args.csls:
        return None
    if args.calibration is not None and not args.csls:
        raise ConfigError("--calibration is for --csls: give both or neither")
    name = name or ("place" if args.references is None else "combined")
    if args.combine is not None and name != "combined":
        raise ConfigError("--combine is for mode combined, which needs --references FOLDER")
    return RetrievalMode(
        name=name,  # pyright: ignore[reportArgumentType]
        references=args.references,
        weight=WEIGHT if args.combine is None else args.combine,
        csls=args.csls,
        calibration=args.calibration,
        vote_km=args.vote_km,
        cells=args.cells,
        cell_score=args.cell_score or "centroid",
        cell_probe=8 if args.cell_probe is None else args.cell_probe,
    )
