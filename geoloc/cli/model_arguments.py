"""The arguments of every command that uses a trained model."""

from __future__ import annotations

import argparse
from pathlib import Path

DECODINGS = ("argmax", "posterior", "refined", "kriging", "gallery-mean")


def add_model_arguments(parser: argparse.ArgumentParser, *, device: str = "auto") -> None:
    """Declare ``--device`` and ``--backbone-weights``.

    Args:
        parser: of the command.
        device: the default.
    """
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default=device,
        help=f"where to compute; auto takes the GPU if there is one (default: {device})",
    )
    parser.add_argument(
        "--backbone-weights",
        type=Path,
        metavar="FILE",
        help="weights of a frozen backbone, if their file is not where it was during training",
    )


def add_index_argument(parser: argparse.ArgumentParser) -> None:
    """Declare ``--index``."""
    parser.add_argument(
        "--index",
        type=_index,
        default="exact",
        metavar="KIND[:NAME=NUMBER,...]",
        help="exact (default), or by faiss, which must be installed: faiss-flat, faiss-ivf, "
        "faiss-hnsw or faiss-pq, such as faiss-ivf:nlist=1024,nprobe=16",
    )


def _index(word: str) -> str:
    """The word as it is, once it is known to name an index."""
    from geoloc.errors import ConfigError
    from geoloc.retrieval import parse_index

    try:
        parse_index(word)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return word
