"""`geoloc downscale`: fine fields from coarse ones, held against the truth and the baselines."""

from __future__ import annotations

import argparse
from pathlib import Path

from geoloc.cli.command import Commands, say
from geoloc.errors import ConfigError

_EPILOG = """\
examples:
  geoloc downscale configs/systems/downscaling.yaml --out runs/downscaling
  geoloc downscale mine.yaml source=fine.npz --out runs/mine
  geoloc downscale --model runs/mine/diffusion --coarse coarse.npz --members 6 --out drawn.npz
"""


def add_parser(commands: Commands) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser(
        "downscale",
        help="learn fine fields from coarse ones, judge them, apply what was learnt",
        description="Train a transfer encoder, a conditional diffusion and a plain U-Net on the "
        "fields of CONFIG, run them over the test series, and judge them beside bicubic "
        "interpolation. Writes result.json, table.txt, downscaling.png, fields.npz and the "
        "folders diffusion and regression. With --model and --coarse downscale other fields with "
        "one of these.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "config", nargs="?", type=Path, help="a YAML file (configs/systems/downscaling.yaml)"
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="e.g. seed=1")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the results; with --model an .npz"
    )
    parser.add_argument(
        "--model", type=Path, metavar="DIR", help="OUT/diffusion or OUT/regression of a run"
    )
    parser.add_argument(
        "--coarse", metavar="FILE", help="an .npz of values, latitude_deg, longitude_deg, time_day"
    )
    parser.add_argument("--members", type=int, default=1, help="draws of a diffusion (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="of the draws (default: 0)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Learn, judge, print; 0 when done."""
    if args.config is None:
        return _apply(args)
    if args.model is not None or args.coarse is not None:
        raise ConfigError("--model and --coarse go without a configuration")
    if (args.members, args.seed, args.device) != (1, 0, "auto"):
        raise ConfigError(
            "--members, --seed and --device go with --model; beside a configuration write "
            "judge.members=, seed= and device="
        )
    from geoloc.experiment.downscale_run import run_downscaling
    from geoloc.experiment.downscale_text import downscaling_table
    from geoloc.experiment.downscaling_schema import DownscalingConfig
    from geoloc.experiment.loading import load_section

    config = load_section(args.config, args.overrides, DownscalingConfig)
    result = run_downscaling(config, out=args.out, say=say)
    print(downscaling_table(result.judgements))
    print(f"picture, fields, downscalers and all numbers: {args.out}")
    return 0


def _apply(args: argparse.Namespace) -> int:
    if args.model is None or args.coarse is None:
        raise ConfigError("name a configuration, or --model and --coarse")
    from geoloc.experiment.downscale_apply import ApplyRequest, apply_downscaler

    request = ApplyRequest(
        model=args.model,
        coarse=args.coarse,
        out=args.out,
        members=args.members,
        seed=args.seed,
        device=args.device,
    )
    print(f"fine fields: {apply_downscaler(request, say)}")
    return 0
