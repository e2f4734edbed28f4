"""Pairs a second of a semivariogram of 512-dimensional features, against other ways.

All ways run in one process on the same samples, in turn, and must give the same curve: GSTools (a
list of 512 fields), scikit-gstat (sums of absolute differences: it has no trace variogram of
vectors, so only its cost counts), full matrices with a mask a bin, NumPy blocks with bincount, and
geoloc's engine with means only and with 40 groups and the histogram. The cost of each way grows as
the number of pairs or faster, so the slow ones run on fewer samples and are compared in pairs a
CPU second; the smallest of the rounds counts. Beside them the share of the time that the matrix
product alone would take.

Run: OMP_WAIT_POLICY=PASSIVE python benchmarks/variogram_speed.py [ROUNDS]
     (needs gstools, scikit-gstat and scikit-learn; those that are missing are left out)
"""

import importlib.util
import os
import resource
import sys
import time

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# NumPy's threads spin for a while after each product, which the next way would be charged for
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
import torch

from geoloc.geodesy import EARTH_RADIUS_KM, great_circle_km, sample_sphere
from geoloc.geostatistics import LagBins, estimate_variogram

DIM = 512
BINS = LagBins.even(50, 20_015.0)
EDGES = np.array(BINS.edges, dtype=np.float32)


def make_samples(count: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    values = generator.normal(size=(count, DIM)).astype(np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    return sample_sphere(count, generator=generator), values


def gstools_way(places, values):
    import gstools

    _, gamma = gstools.vario_estimate(
        (places[:, 0], places[:, 1]),
        list(values.T.astype(np.float64)),
        np.array(BINS.edges),
        latlon=True,
        geo_scale=EARTH_RADIUS_KM,
    )
    return gamma * DIM


def skgstat_way(places, values):
    import skgstat

    xyz = np.stack(
        [
            np.cos(np.deg2rad(places[:, 0])) * np.cos(np.deg2rad(places[:, 1])),
            np.cos(np.deg2rad(places[:, 0])) * np.sin(np.deg2rad(places[:, 1])),
            np.sin(np.deg2rad(places[:, 0])),
        ],
        axis=1,
    )
    variogram = skgstat.Variogram(xyz, values, multivariate="aggregate", n_lags=50, fit_method=None)
    return variogram.experimental


def matrix_way(places, values):
    lag = great_circle_km(places[:, None], places[None])
    value = 1.0 - values @ values.T
    upper = np.triu(np.ones(lag.shape, dtype=bool), 1)
    gamma = np.full(len(BINS), np.nan)
    for k in range(len(BINS)):
        mask = upper & (lag > BINS.edges[k]) & (lag <= BINS.edges[k + 1])
        gamma[k] = value[mask].mean(dtype=np.float64)
    return gamma


def block_way(places, values):
    """Any classes, found by a binary search."""
    return blocks(places, values, lambda lag: np.searchsorted(EDGES, lag.ravel()) - 1)


def even_block_way(places, values):
    """Classes of one width alone, found by a division."""
    width = np.float32(BINS.edges[1])
    return blocks(places, values, lambda lag: (lag / width).astype(np.int64).ravel())


def blocks(places, values, class_of, size=1024):
    """NumPy on blocks: haversine in float32, one product, two counts by class."""
    rad = np.deg2rad(places).astype(np.float32)
    lat, lon, cosine = rad[:, 0], rad[:, 1], np.cos(rad[:, 0])
    count, total = np.zeros(len(BINS)), np.zeros(len(BINS))
    for top in range(0, len(places), size):
        rows = slice(top, top + size)
        for left in range(top, len(places), size):
            columns = slice(left, left + size)
            h = np.sin((lat[rows, None] - lat[columns]) / 2) ** 2
            h += (
                cosine[rows, None]
                * cosine[columns]
                * np.sin((lon[rows, None] - lon[columns]) / 2) ** 2
            )
            lag = 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.minimum(h, 1)))
            value = 1.0 - values[rows] @ values[columns].T
            if top == left:
                keep = np.triu(np.ones(lag.shape, dtype=bool), 1)
                lag, value = lag[keep], value[keep]
            k = np.clip(class_of(lag), 0, len(BINS) - 1)
            count += np.bincount(k, minlength=len(BINS))
            total += np.bincount(k, value.ravel().astype(np.float64), minlength=len(BINS))
    return total / count


def ours(places, values):
    return estimate_variogram(places, values, bins=BINS, groups=1).semivariance


def ours_with_groups(places, values):
    return estimate_variogram(places, values, bins=BINS, groups=40).semivariance


def measure(way, places, values, rounds):
    """CPU seconds (least of the rounds), wall seconds (likewise), and the curve."""
    cpu, wall = [], []
    for _ in range(rounds):
        start, begun = time.process_time(), time.perf_counter()
        curve = way(places, values)
        cpu.append(time.process_time() - start)
        wall.append(time.perf_counter() - begun)
    return min(cpu), min(wall), curve


def product_rate(threads: int) -> float:
    """Million pairs a wall second of the matrix product alone."""
    torch.set_num_threads(threads)
    a, b, out = torch.randn(1024, DIM), torch.randn(1024, DIM), torch.empty(1024, 1024)
    best = np.inf
    for _ in range(60):
        start = time.perf_counter()
        torch.mm(a, b.T, out=out)
        best = min(best, time.perf_counter() - start)
    return 1024**2 / best / 1e6


def installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def slow_rates() -> dict[str, float]:
    """Million pairs a CPU second of the ways that cannot take thousands of samples."""
    ways = [(gstools_way, 800)] if installed("gstools") else []
    if installed("skgstat") and installed("sklearn") and installed("imageio"):
        ways.append((skgstat_way, 250))
    rates = {}
    for way, count in ways:
        places, values = make_samples(count)
        cpu, _, curve = measure(way, places, values, 1)
        rates[way.__name__] = count * (count - 1) / 2 / cpu / 1e6
        print(f"{way.__name__:18} n = {count:6,} {rates[way.__name__]:10.3f} M pairs per CPU-s")
        if way is gstools_way:
            np.testing.assert_allclose(ours(places, values), curve, rtol=1e-4)
    return rates


def side_by_side(count: int, rounds: int) -> dict[str, float]:
    """Million pairs a CPU second of each way, in turn on the same samples; curves must agree."""
    places, values = make_samples(count)
    pairs = count * (count - 1) / 2 / 1e6
    ways = [block_way, even_block_way, ours, ours_with_groups]
    if count <= 5000:
        ways.insert(0, matrix_way)  # beyond, matrices of n squared numbers take gigabytes
    best = dict.fromkeys(ways, np.inf)
    expected = None
    for _ in range(rounds):
        for way in ways:
            cpu, _, curve = measure(way, places, values, 1)
            best[way] = min(best[way], cpu)
            expected = curve if expected is None else expected
            np.testing.assert_allclose(curve, expected, rtol=2e-4)
    for way in ways:
        print(f"{way.__name__:18} n = {count:6,} {pairs / best[way]:10.1f} M pairs per CPU-s")
    return {way.__name__: pairs / best[way] for way in ways}


def by_the_clock(threads: int, rounds: int) -> None:
    places, values = make_samples(20_000)
    pairs = len(places) * (len(places) - 1) / 2 / 1e6
    ceiling = product_rate(threads)
    torch.set_num_threads(threads)
    print(f"by the clock, {threads} threads; matrix product alone {ceiling:.0f} M pairs/s")
    for way in (ours, ours_with_groups):
        _, wall, _ = measure(way, places, values, rounds)
        print(f"    {way.__name__:18} {pairs / wall:6.0f} M pairs/s, {pairs / wall / ceiling:.0%}")


def memory(threads: int) -> None:
    """What the process grows by while all pairs of ever more samples pass."""
    torch.set_num_threads(threads)
    for count in (5000, 20_000, 40_000):
        places, values = make_samples(count)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        ours_with_groups(places, values)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        print(
            f"n = {count:6,}: {grown:6.0f} MB more at the most; features {values.nbytes >> 20} MB"
        )


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    threads = torch.get_num_threads()
    for way in (ours, ours_with_groups):
        way(*make_samples(300))  # compiles
    torch.set_num_threads(1)
    memory(1)
    others = slow_rates()
    for count in (5000, 20_000):
        rates = side_by_side(count, rounds)
        mine = rates["ours"]
        for name, rate in {**others, **rates}.items():
            if not name.startswith("ours"):
                print(f"    ours / {name:14} {mine / rate:10.1f}")
        ceiling = product_rate(1)
        print(f"matrix product alone, one thread: {ceiling:.0f} M pairs/s")
        for name in ("ours", "ours_with_groups"):
            print(f"    {name:18} {rates[name] / ceiling:6.0%} of it")
    by_the_clock(threads, rounds)


if __name__ == "__main__":
    main()
