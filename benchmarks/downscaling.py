"""Downscaling by four: bicubic, a plain U-Net and the diffusion on three fields.

    python benchmarks/downscaling.py [simulated] [temperature] [turbidity] --out runs/downscaling

Seed 0 throughout; all methods that learn have the same training fields, tiles, batches and steps.
The simulated field's covariance is known, so the best linear estimate is: `--kriging` adds the
agreement of simple kriging of the fine cells from the current coarse field, which no estimate from
that field alone can surpass on average. Of draws from the true conditional distribution the squared
error is twice as large, and that of the mean of M draws (1 + 1 / M) times.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from geoloc.downscaling import coarsen
from geoloc.experiment.downscale_run import run_downscaling
from geoloc.experiment.downscale_text import downscaling_table
from geoloc.experiment.downscaling_fields import fields_of
from geoloc.experiment.downscaling_schema import DownscalingConfig
from geoloc.experiment.loading import load_section
from geoloc.geostatistics import measure_agreement

CONFIG = Path(__file__).parents[1] / "configs" / "systems" / "downscaling.yaml"
FIELDS = {
    "simulated": (),
    "temperature": (
        "source=package:north-america-temperature",
        "real.window=[0, 0, 36, 48]",
        "real.anomalies=true",
        "real.fine_steps=160",
        "networks.tile=24",
        "networks.stride=12",
        "networks.steps=700",
    ),
    "turbidity": (
        "source=package:linke-turbidity",
        "real.window=[360, 0, 1440, 4320]",
        "real.pool=6",
        "real.hold_out=space",
        "networks.lags=4",
        "networks.steps=700",
        "judge.members=3",
    ),
}


def config_of(name: str) -> DownscalingConfig:
    """The settings of one of the fields."""
    return load_section(CONFIG, FIELDS[name], DownscalingConfig)


def kriging_agreement(config: DownscalingConfig) -> str:
    """How near the best linear estimate from the current coarse field comes to the test series."""
    section, factor = config.simulated, config.networks.factor
    test = fields_of(config).test.to(torch.float64)
    side = torch.arange(section.size, dtype=torch.float64)
    places = torch.cartesian_prod(side, side)
    covariance = torch.exp(-torch.cdist(places, places) / section.scale_cells)
    known = coarsen(covariance.reshape(-1, section.size, section.size), factor).flatten(1)
    both = coarsen(known.T.reshape(-1, section.size, section.size), factor).flatten(1)
    weights = torch.linalg.solve(both, known.T).T
    coarse = coarsen(test, factor).flatten(-2)
    found = (coarse @ weights.T).reshape(test.shape)
    told = measure_agreement(found, test)
    return f"simple kriging from the coarse field: R2 {told.r2:.4f}, RMSE {told.rmse:.4f}"


def main() -> None:
    """Run the fields that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fields", nargs="*", choices=[[], *FIELDS], default=list(FIELDS))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--kriging", action="store_true")
    args = parser.parse_args()
    for name in args.fields:
        config = config_of(name)
        print(f"{name}:")
        if args.kriging and name == "simulated":
            print(kriging_agreement(config))
        result = run_downscaling(
            config, out=args.out / name, say=lambda what: print(f"... {what}", file=sys.stderr)
        )
        taken = sum(result.seconds.values())
        print(f"{downscaling_table(result)}\n{taken:.0f} s on the clock\n", flush=True)


if __name__ == "__main__":
    main()
