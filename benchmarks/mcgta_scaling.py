"""Time and memory of metric-constrained clusters against the number of observations.

Run: python benchmarks/mcgta_scaling.py all|near [--counts 1000 10000 100000]

Places are uniform in a square that grows with their number, so that density stays; features are
those of `geoloc.regions.regime_world` with 10 patches. `all` compares every pair in blocks;
`near` compares each observation with its 64 nearest places. One thread. Each count runs in a
process of its own, whose peak of resident memory, less that after the imports, is printed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time

import numpy as np
import torch

from geoloc.regions import ClusterSettings, clusters_of, prepare, regime_world

COMPARED = 64


def peak_mb() -> float:
    """Resident memory at its most so far, in 10^6 bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def measure(kind: str, count: int) -> None:
    """Cluster one world, and print a row."""
    torch.set_num_threads(1)
    generator = np.random.default_rng(0)
    places = generator.uniform(0, 100 * np.sqrt(count / 10_000), (count, 2))
    features, _ = regime_world(places, generator=generator, metric="euclidean", unit="step")
    compared = COMPARED if kind == "near" else None
    settings = ClusterSettings(
        metric="euclidean", unit="step", eps=0.3, weight=0.5, margin=0.3, compared=compared
    )
    before, start = peak_mb(), time.process_time()
    prepared = prepare(features, places, settings=settings)
    middle = time.process_time()
    found = clusters_of(prepared)
    end = time.process_time()
    print(
        f"{kind:5} {count:8,} {middle - start:10.1f} {end - middle:10.1f} "
        f"{peak_mb() - before:10.0f} {found.count:9,} {100 * found.noise_share:8.1f}",
        flush=True,
    )


def main() -> None:
    """Print a row a count."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=("all", "near"))
    parser.add_argument("--counts", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    args = parser.parse_args()
    print("pairs        n  prepare s  cluster s  memory MB  clusters  noise %   (CPU seconds)")
    context = multiprocessing.get_context("spawn")
    for count in args.counts:
        process = context.Process(target=measure, args=(args.kind, count))
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit(f"{count:,}: ended by {process.exitcode}")


if __name__ == "__main__":
    main()
