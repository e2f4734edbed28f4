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
        choices=("exact", "faiss"),
        default="exact",
        help="search by geoloc's own exact index (default), or by faiss's, which must be installed",
    )
