"""`geoloc embed`: image embeddings of shards under a trained model."""

from __future__ import annotations

import argparse
from pathlib import Path

from geoloc.cli.command import Commands, say
from geoloc.cli.model_arguments import add_model_arguments


def add_parser(commands: Commands) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser("embed", help="write the image embeddings of shards")
    parser.add_argument("run_folder", metavar="RUN", type=Path)
    parser.add_argument("--data", required=True, metavar="SHARDS")
    parser.add_argument("--out", required=True, type=Path, help="folder to write")
    parser.add_argument("--workers", type=int, help="decoding processes (default: as in training)")
    add_model_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Embed, write, say how many."""
    from geoloc.experiment.embed_run import embed_shards

    embedded = embed_shards(
        args.run_folder,
        args.data,
        out=args.out,
        workers=args.workers,
        say=say,
        device=args.device,
        backbone_weights=args.backbone_weights,
    )
    count, width = embedded.embedding.shape
    print(f"{count:,} embeddings of {width} numbers in {args.out}")
    return 0
