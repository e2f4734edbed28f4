"""Space-time prediction of held-out places: each method's error, over several seeds.

A seed draws the field (the simulated one), the stations and the weights. Kriging has the lags,
stations and places of the networks; the plain network has as many steps of the same optimizer.

Each run leaves its result and picture under runs/spacetime_benchmark.

Run: python benchmarks/spacetime.py [simulated] [paper] [temperature] [gaps] [--seeds 0 1 2]
(all four by default, each with its own seeds)
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from geoloc.experiment.loading import load_section
from geoloc.experiment.spacetime_run import SpaceTimeResult, run_space_time
from geoloc.experiment.spacetime_schema import SpaceTimeConfig
from geoloc.experiment.spacetime_text import TITLES

OUT = Path("runs/spacetime_benchmark")
SYSTEMS = Path(__file__).parents[1] / "configs" / "systems"
SIMULATED, TEMPERATURE = SYSTEMS / "spacetime.yaml", SYSTEMS / "spacetime_temperature.yaml"
# a file, its overrides, and seeds
CASES = {
    "simulated": (SIMULATED, (), (0,)),
    # as published: coordinates alone, and the bases with 95 % of the variance
    "paper": (SIMULATED, ("network.trunk=dense", "bases.keep=share"), (0,)),
    "temperature": (TEMPERATURE, (), (0, 1)),
    "gaps": (TEMPERATURE, ("missing_share=0.2",), (0,)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", choices=[[], *CASES], default=list(CASES))
    parser.add_argument("--seeds", type=int, nargs="+")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name in args.cases:
        path, words, own = CASES[name]
        seeds = tuple(args.seeds or own)
        results = [
            run_space_time(
                load_section(path, (*words, f"seed={seed}"), SpaceTimeConfig),
                out=OUT / f"{name}_{seed}",
                say=lambda _: None,
            )
            for seed in seeds
        ]
        show(name, seeds, results)


def show(name: str, seeds: tuple[int, ...], results: list[SpaceTimeResult]) -> None:
    told = results[0].told
    print(f"{name}: {told['field']}, {told['stations']} stations, {told['held_out']} held out, ")
    print(f"{told['steps']} steps, seeds {seeds}, bases {[r.told['components'] for r in results]}")
    if told["gaps"]["rmse"] is not None:
        print(f"gaps filled by {told['gaps']['components']} patterns: {told['gaps']['rmse']:.4f}")
    print("structure left at stations:", [r.told["residuals"]["kriged"] for r in results])
    print(f"{'':29}     MAE (each seed)          RMSE   signal  flat  errors  covered  seconds")
    for title in TITLES:
        rows = [result.row(title) for result in results]
        each = " ".join(f"{row.mae:.4f}" for row in rows)
        print(
            f"{TITLES[title]:29}{mean(rows, 'mae'):8.4f} ({each:20}) {mean(rows, 'rmse'):7.4f} "
            f"{mean(rows, 'signal_rmse'):7.4f} {mean(rows, 'flatness'):6.3f} "
            f"{'/'.join(row.error_structure[:3] for row in rows):12}"
            f"{100 * mean(rows, 'coverage'):6.1f} {mean(rows, 'seconds'):6.1f}"
        )
    print(flush=True)


def mean(rows: list, what: str) -> float:
    values = [getattr(row, what) for row in rows]
    return float("nan") if None in values else float(np.mean(values))


if __name__ == "__main__":
    main()
