"""Downscaling by four: bicubic, a plain U-Net and the diffusion on three fields.

    python benchmarks/downscaling.py [simulated] [temperature] [turbidity] --out runs/downscaling \
        [--seeds 0 1 2]

A seed draws the simulated fields or the regions held out, and the weights; with several, means and
standard deviations end each field. All methods that learn have the same training fields, tiles,
batches and steps. The simulated field's covariance is known, and so is the best estimate:
`--kriging` adds simple kriging of the fine cells from the current coarse field, and from as many
coarse fields as the networks see; on average no estimate from those can be nearer. Draws from the
true conditional distribution have twice its squared error, the mean of M draws 1 + 1 / M times.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from geoloc.downscaling import Judgement, coarsen
from geoloc.experiment.downscale_run import run_downscaling
from geoloc.experiment.downscale_text import downscaling_table
from geoloc.experiment.downscaling_fields import fields_of
from geoloc.experiment.downscaling_schema import DownscalingConfig
from geoloc.experiment.loading import load_section
from geoloc.geostatistics import measure_agreement

CONFIG = Path(__file__).parents[1] / "configs" / "systems" / "downscaling.yaml"
FIELDS = {
    "simulated": (),
    # small, so that each takes a minute or two of one core
    "temperature": (
        "source=package:north-america-temperature",
        "real.window=[0, 0, 36, 48]",
        "real.anomalies=true",
        "real.fine_steps=160",
        "networks.tile=24",
        "networks.stride=24",
        "networks.steps=200",
        "networks.encoder_steps=200",
        "networks.sampling_steps=6",
        "judge.members=3",
    ),
    "turbidity": (
        "source=package:linke-turbidity",
        "real.window=[360, 0, 1440, 4320]",
        "real.pool=6",
        "real.hold_out=space",
        "real.test_regions=2",
        "networks.lags=4",
        "networks.stride=28",
        "networks.batch=4",
        "networks.steps=200",
        "networks.encoder_steps=200",
        "networks.sampling_steps=6",
        "judge.members=2",
    ),
}


def config_of(name: str, seed: int) -> DownscalingConfig:
    """The settings of one of the fields."""
    return load_section(CONFIG, (*FIELDS[name], f"seed={seed}"), DownscalingConfig)


def over_seeds(judged: Sequence[Mapping[str, Judgement]]) -> str:
    """Mean and standard deviation of the main figures, a line a method."""
    lines = [f"{'':24}{'R2':18}{'RMSE':18}{'semivariogram distance':26}last third / first, RMSE"]
    for method in judged[0]:
        told: list[str] = []
        for figure in (
            lambda each: each.agreement.r2,
            lambda each: each.agreement.rmse,
            lambda each: each.semivariogram_distance,
            growth,
        ):
            values = [figure(each[method]) for each in judged]
            told.append(f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}")
        lines.append(f"{method:24}{told[0]:18}{told[1]:18}{told[2]:26}{told[3]}")
    return "\n".join(lines)


def growth(found: Judgement) -> float:
    """RMSE of the last third of the steps over that of the first."""
    third = max(1, len(found.rmse_by_step) // 3)
    early, late = found.rmse_by_step[:third], found.rmse_by_step[-third:]
    return float(np.sqrt(np.mean(late**2) / np.mean(early**2)))


def kriging_agreement(config: DownscalingConfig, lags: int) -> str:
    """How near simple kriging from the last `lags` coarse fields comes to the test series."""
    section, factor, size = config.simulated, config.networks.factor, config.simulated.size
    test = fields_of(config).test.to(torch.float64)
    side = torch.arange(size, dtype=torch.float64)
    places, drift = torch.cartesian_prod(side, side), torch.tensor(section.drift_cells)
    coarse_fine, coarse_coarse = [], []
    for earlier in range(lags):
        gap = torch.cdist(places, places + earlier * drift.to(torch.float64))
        covariance = section.persistence**earlier * torch.exp(-gap / section.scale_cells)
        known = coarsen(covariance.reshape(-1, size, size), factor).flatten(1)
        coarse_fine.append(known.T)
        coarse_coarse.append(coarsen(known.T.reshape(-1, size, size), factor).flatten(1).T)
    # block (i, j): fields i and j steps ago
    rows = [
        [coarse_coarse[j - i] if j >= i else coarse_coarse[i - j].T for j in range(lags)]
        for i in range(lags)
    ]
    both = torch.cat([torch.cat(row, dim=1) for row in rows])
    weights = torch.linalg.solve(both, torch.cat(coarse_fine))
    coarse = coarsen(test, factor).flatten(-2)[0]
    seen = torch.stack([coarse[t - lags + 1 : t + 1].flip(0).flatten() for t in told_steps(test)])
    found = (seen @ weights).reshape(-1, size, size)
    told = measure_agreement(found, test[0, told_steps(test)])
    return f"simple kriging from {lags} coarse fields: R2 {told.r2:.4f}, RMSE {told.rmse:.4f}"


def told_steps(test: torch.Tensor) -> list[int]:
    """Steps that have ten fields before them: the same for any number of lags up to that."""
    return list(range(10, test.shape[1]))


def main() -> None:
    """Run the fields that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fields", nargs="*", choices=[[], *FIELDS], default=list(FIELDS))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--kriging", action="store_true")
    args = parser.parse_args()
    for name in args.fields:
        judged: list[Mapping[str, Judgement]] = []
        for seed in args.seeds:
            judged.append(run(name, seed, out=args.out, kriging=args.kriging))
        if len(judged) > 1:
            print(f"{name}, seeds {args.seeds}:\n{over_seeds(judged)}\n", flush=True)


def run(name: str, seed: int, *, out: Path, kriging: bool) -> Mapping[str, Judgement]:
    """One field with one seed: its table, printed, and its judgements."""
    config = config_of(name, seed)
    print(f"{name}, seed {seed}:")
    if kriging and name == "simulated":
        print(kriging_agreement(config, 1))
        print(kriging_agreement(config, config.networks.lags))
    result = run_downscaling(
        config,
        out=out / (name if seed == 0 else f"{name}_{seed}"),
        say=lambda what: print(f"... {what}", file=sys.stderr),
    )
    taken = sum(result.seconds.values())
    print(f"{downscaling_table(result.judgements)}\n{taken:.0f} s on the clock\n", flush=True)
    return result.judgements


if __name__ == "__main__":
    main()
