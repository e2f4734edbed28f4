"""Sampled pairs at equal cost: uniformly drawn pairs, a subset of samples, and geoloc's sampler.

Places are those of GeoCLIP's gallery (clustered as photos are), features a smooth random field of
them with noise. The truth is the variogram of all pairs. Each way is given the CPU time that
geoloc's sampler takes; printed is the relative root mean square error of each lag class over
repeated draws, and the pairs a draw had in it.

Run: python benchmarks/pair_sampling.py [SAMPLES] [DRAWS]     (needs the package geoclip)
"""

import os
import sys
import time

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch

from geoloc.geodesy import unit_vectors
from geoloc.geostatistics import LagBins, VariogramAccumulator
from geoloc.geostatistics.slots import FIRST
from geoloc.geostatistics.tiles_torch import TorchTiles
from geoloc.models.geoclip import gallery_places

BINS = LagBins(
    edges=(0.0, 0.1, 0.3, 1, 3, 10, 25, 50, 100, 200, 500, 1000, 2500, 5000, 10_000, 20_016)
)
PAIRS = 16_000_000
DIM = 64


def make_samples(count: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    gallery = gallery_places()
    places = gallery[generator.choice(len(gallery), size=count, replace=count > len(gallery))]
    places = places + generator.normal(size=places.shape) * 0.02 * generator.random((count, 1)) ** 4
    places[:, 0] = places[:, 0].clip(-90, 90)
    position = unit_vectors(places)
    scales = 10.0 ** generator.uniform(0, 3.2, size=DIM)
    waves = generator.normal(size=(3, DIM)) * scales
    values = np.cos(position @ waves + generator.uniform(0, 6.3, size=DIM))
    values += 0.2 * generator.normal(size=values.shape)
    places[:, 1] = (places[:, 1] + 180) % 360 - 180
    return places, values.astype(np.float32)


def curve(sums: VariogramAccumulator) -> tuple[np.ndarray, np.ndarray]:
    total = sums.total()[FIRST : FIRST + len(BINS)]
    with np.errstate(invalid="ignore"):
        return total[:, 2] / total[:, 0], total[:, 0]


def ours(places, values, pairs, seed):
    sums = VariogramAccumulator(BINS)
    sums.add(places, values, pairs=pairs, generator=torch.Generator().manual_seed(seed))
    return curve(sums)


def uniform(places, values, pairs, seed):
    sums = VariogramAccumulator(BINS)
    samples, _ = sums.samples(places, values, None)
    generator = np.random.default_rng(seed)
    tiles = TorchTiles(sums)
    for _ in range(max(1, pairs >> 14)):
        one = generator.integers(len(places), size=1 << 14)
        other = (one + generator.integers(1, len(places), size=1 << 14)) % len(places)
        tiles.add_aligned(samples.rows(one), samples.rows(other))
    return curve(sums)


def subset(places, values, pairs, seed):
    chosen = np.random.default_rng(seed).permutation(len(places))[: int((2 * pairs) ** 0.5)]
    sums = VariogramAccumulator(BINS)
    sums.add(places[chosen], values[chosen])
    return curve(sums)


def cost(way, places, values, pairs):
    way(places, values, pairs, 99)
    spent = []
    for seed in range(3):
        start = time.process_time()
        way(places, values, pairs, seed)
        spent.append(time.process_time() - start)
    return min(spent)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 40_000
    draws = int(sys.argv[2]) if len(sys.argv) > 2 else 15
    torch.set_num_threads(1)
    places, values = make_samples(count)
    whole = VariogramAccumulator(BINS)
    whole.add(places, values)
    truth, population = curve(whole)
    budget = cost(ours, places, values, PAIRS)
    errors, held = [], []
    for way in (uniform, subset, ours):
        trial = PAIRS if way is ours else PAIRS // 2
        spent = cost(way, places, values, trial)
        pairs = trial if way is ours else int(trial * budget / spent)
        print(f"{way.__name__:8} {pairs:,} pairs in {spent * pairs / trial:.2f} CPU-s")
        found = [way(places, values, pairs, 1000 + seed) for seed in range(draws)]
        relative = np.array([each[0] for each in found]) / truth - 1
        errors.append(np.sqrt(np.nanmean(relative**2, axis=0)) * 100)
        held.append(np.mean([each[1] for each in found], axis=0))
    print(f"\n{count:,} samples x {DIM}, {draws} draws; relative RMSE in % (pairs a draw)")
    print(f"{'lag km':>16} {'share':>8}  {'uniform':>20} {'subset':>20} {'ours':>20}")
    for k, (low, high) in enumerate(zip(BINS.lower, BINS.upper, strict=True)):
        share = population[k] / (count * (count - 1) / 2)
        cells = [f"{e[k]:8.2f} ({n[k]:>9,.0f})" for e, n in zip(errors, held, strict=True)]
        print(f"{low:7g} - {high:6g} {share:8.0e}  " + " ".join(f"{cell:>20}" for cell in cells))


if __name__ == "__main__":
    main()
