"""`geoloc explain`: which part of an image moved the answer."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from geoloc.cli.command import Commands, say
from geoloc.cli.model_arguments import add_model_arguments


def add_parser(commands: Commands) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser(
        "explain",
        help="show which part of an image moved the answer",
        description="Cover one patch of the image after another, watch the answer, and say "
        "whether what is seen is more than noise. Costs 2 x CELLS x CELLS + 1 passes of the image "
        "tower.",
    )
    parser.add_argument("image", type=Path, metavar="IMAGE")
    parser.add_argument("--run", type=Path, dest="run_folder", help="default: newest under runs/")
    parser.add_argument("--gallery", help="one of the run's galleries, or a gallery's folder")
    parser.add_argument("--out", type=Path, metavar="FILE.html", help="page to write")
    parser.add_argument("--json", action="store_true", help="print the map as JSON, not in words")
    parser.add_argument("--cells", type=int, default=7, help="cells a side (default: 7)")
    parser.add_argument(
        "--near-km", type=float, default=200.0, help="what is near the answer (default: 200)"
    )
    parser.add_argument(
        "--references",
        type=Path,
        metavar="FOLDER",
        help="embedded training images, as `geoloc embed` writes them (default: the run's cached "
        "features, where it has some)",
    )
    parser.add_argument(
        "--most-alike",
        type=int,
        default=6,
        metavar="COUNT",
        help="training images that are shown (default: 6; 0 looks for none)",
    )
    add_model_arguments(parser, device="cpu")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Explain one image."""
    from geoloc.errors import ConfigError
    from geoloc.experiment.explain_run import ExplainRequest, explain_image
    from geoloc.inference import newest_run
    from geoloc.inference.explanation import Occlusion

    if args.out is not None and args.out.suffix != ".html":
        raise ConfigError(f"--out {args.out}: name a file that ends in .html")
    if args.most_alike < 0:
        raise ConfigError(f"--most-alike {args.most_alike}: must be 0 or more")
    request = ExplainRequest(
        image=args.image,
        run_folder=args.run_folder or newest_run(),
        gallery=args.gallery,
        references=args.references,
        how=Occlusion(cells=args.cells, near_km=args.near_km),
        most_alike=args.most_alike,
        device=args.device,
        backbone_weights=args.backbone_weights,
    )
    found = explain_image(request, page=args.out, say=say)
    if args.json:
        print(json.dumps(found.to_json(), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        print(f"{found.answer.name}\n{found.words()}")
    if args.out is not None:
        say(f"page: {args.out}")
    return 0
