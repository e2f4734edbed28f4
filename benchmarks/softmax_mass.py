"""Time and memory of the streamed softmax masses: random unit vectors of 512 numbers, one thread.

OMP_NUM_THREADS=1 python benchmarks/softmax_mass.py --queries 512 --places 500000
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
import torch

from geoloc.evaluation.mass_profile import HALF_TURN_KM, ring_masses
from geoloc.geodesy import sample_sphere


def unit_rows(count: int, seed: int) -> torch.Tensor:
    rows = torch.randn(count, 512, generator=torch.Generator().manual_seed(seed))
    # In place, so that the peak of memory is not set here.
    return rows.div_(torch.linalg.vector_norm(rows, dim=1, keepdim=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=512)
    parser.add_argument("--places", type=int, default=500_000)
    args = parser.parse_args()
    torch.set_num_threads(1)
    query, place = unit_rows(args.queries, 0), unit_rows(args.places, 1)
    generator = np.random.default_rng(0)
    centre_deg = sample_sphere(args.queries, generator=generator)
    places_deg = sample_sphere(args.places, generator=generator)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pairs = args.queries * args.places
    start = time.process_time()
    for rows in query.split(256):
        for columns in place.split(16_384):
            rows @ columns.T
    product = time.process_time() - start
    print(f"the product alone        {product:6.1f} s  {1e9 * product / pairs:5.1f} ns a pair")
    edges = {
        "four radii, one scale": (np.array([25.0, 200.0, 750.0, 2500.0]), [20.0]),
        "four radii, nine scales": (np.array([25.0, 200.0, 750.0, 2500.0]), [20.0] * 9),
        "160 rings, one scale": (np.geomspace(1.0, HALF_TURN_KM, 160)[:-1], [20.0]),
    }
    for name, (edges_km, scales) in edges.items():
        start = time.process_time()
        ring_masses(query, centre_deg, place, places_deg, scales=scales, edges_km=edges_km)
        spent = time.process_time() - start
        print(f"{name:<24} {spent:6.1f} s  {1e9 * spent / pairs:5.1f} ns a pair")
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**10
    print(f"memory beyond the vectors {more:,.0f} MiB")


if __name__ == "__main__":
    main()
