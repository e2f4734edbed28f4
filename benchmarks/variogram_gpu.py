"""Pairs a second of semivariograms on a GPU: torch operations and the fused Triton kernel.

For features of 512 and 768 numbers in bfloat16: billions of pairs a second of either way, and the
share of what the matrix product alone reaches. Both ways must give the same counts. With SAMPLES of
a million all pairs take a minute or less.

Run: python benchmarks/variogram_gpu.py [SAMPLES] [DEVICE]
     (any device runs it; triton needs CUDA, or TRITON_INTERPRET=1 and a few hundred samples)
"""

import sys
import time

import numpy as np
import torch

from geoloc.errors import ConfigError
from geoloc.geodesy import sample_sphere
from geoloc.geostatistics import Engine, LagBins, VariogramAccumulator
from geoloc.geostatistics.space_filling import spatial_groups
from geoloc.geostatistics.sums import COUNT

BINS = LagBins.logarithmic(48, 1.0, 20_016.0)


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def product_rate(dim: int, device: torch.device) -> float:
    """Billion pairs a second of the bfloat16 matrix product alone."""
    size = 8192 if device.type == "cuda" else 512
    a, b = (torch.randn(size, dim, device=device, dtype=torch.bfloat16) for _ in "ab")
    best = np.inf
    for _ in range(20):
        wait(device)
        start = time.perf_counter()
        a @ b.T
        wait(device)
        best = min(best, time.perf_counter() - start)
    return size**2 / best / 1e9


def run(places, values, backend: str, device: torch.device) -> tuple[float, VariogramAccumulator]:
    """Seconds of all pairs, and the sums."""
    sums = VariogramAccumulator(BINS, group_count=40, device=device)
    group = spatial_groups(sums.separation.positions(places).numpy(), 40)
    wait(device)
    start = time.perf_counter()
    engine = Engine(backend=backend, precision="bfloat16")
    sums.add(places, values, groups=group, engine=engine)
    wait(device)
    return time.perf_counter() - start, sums


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    device = torch.device(sys.argv[2] if len(sys.argv) > 2 else "cuda")
    places = sample_sphere(count, generator=np.random.default_rng(0))
    pairs = count * (count - 1) / 2 / 1e9
    for dim in (512, 768):
        values = torch.randn(count, dim, device=device, dtype=torch.bfloat16)
        ceiling = product_rate(dim, device)
        print(f"{dim} numbers, {count:,} samples; matrix product alone {ceiling:.2f} G pairs/s")
        seen = []
        for backend in ("torch", "triton"):
            try:
                run(places[:2000], values[:2000], backend, device)  # compiles
                seconds, sums = run(places, values, backend, device)
            except ConfigError as error:
                print(f"    {backend:7} {error}")
                continue
            rate = pairs / seconds
            print(f"    {backend:7} {seconds:8.2f} s {rate:9.3f} G pairs/s {rate / ceiling:6.0%}")
            seen.append(sums.moments[..., COUNT])
        if len(seen) == 2:
            assert torch.equal(seen[0], seen[1])


if __name__ == "__main__":
    main()
