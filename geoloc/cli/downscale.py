"""`geoloc downscale`: fine fields from coarse ones, held against the truth and the baselines."""

from __future__ import annotations

import argparse
from pathlib import Path

from geoloc.cli.command import Commands, say


def add_parser(commands: Commands) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser(
        "downscale",
        help="learn fine fields from coarse ones, and judge them",
        description="Train a transfer encoder, a conditional diffusion and a plain U-Net on the "
        "fields of CONFIG, run them over the test series, and judge them beside bicubic "
        "interpolation.",
    )
    parser.add_argument("config", type=Path, help="a YAML file (configs/systems/downscaling.yaml)")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="e.g. seed=1")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Learn, judge, print; 0 when done."""
    from geoloc.experiment.downscale_run import run_downscaling
    from geoloc.experiment.downscale_text import downscaling_table
    from geoloc.experiment.downscaling_schema import DownscalingConfig
    from geoloc.experiment.loading import load_section

    config = load_section(args.config, args.overrides, DownscalingConfig)
    result = run_downscaling(config, out=args.out, say=say)
    print(downscaling_table(result.judgements))
    print(f"picture and all numbers: {args.out}")
    return 0
