"""A semivariogram of millions of samples whose features do not fit into memory: time and memory.

Writes SAMPLES x 768 features in float16 to a memory-mapped file (7.7 GB for five million), samples
pairs, and prints how long it took, the most memory of the process, and the pairs of short classes.

Run: python benchmarks/millions.py FOLDER [SAMPLES] [PAIRS]
"""

import os
import resource
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np

from geoloc.geostatistics import LagBins, estimate_variogram

DIM = 768
CHUNK = 100_000


def write_features(path: Path, count: int) -> None:
    """Unit normal rows; each chunk is the first one turned by another number of columns."""
    shape = (count, DIM)
    features = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)
    first = np.random.default_rng(0).normal(size=(CHUNK, DIM)).astype(np.float16)
    for number, start in enumerate(range(0, count, CHUNK)):
        rows = min(CHUNK, count - start)
        features[start : start + rows] = np.roll(first, number, axis=1)[:rows]
    features.flush()


def clustered_places(count: int) -> np.ndarray:
    """Towns of very unequal size all over the Earth, as photographs are spread."""
    generator = np.random.default_rng(1)
    towns = 20_000
    height = generator.uniform(-0.95, 0.95, towns)
    centre = np.stack([np.degrees(np.arcsin(height)), generator.uniform(-179, 179, towns)], axis=1)
    share = generator.pareto(1.0, towns)
    chosen = generator.choice(towns, size=count, p=share / share.sum())
    return centre[chosen] + generator.normal(size=(count, 2)) * 0.1


def memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    folder = Path(sys.argv[1])
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 5_000_000
    pairs = int(sys.argv[3]) if len(sys.argv) > 3 else 50_000_000
    path = folder / "features.npy"
    if not path.is_file() or np.load(path, mmap_mode="r").shape != (count, DIM):
        write_features(path, count)
    features, places = np.load(path, mmap_mode="r"), clustered_places(count)
    bins = LagBins.logarithmic(40, 0.1, 20_016.0)
    estimate_variogram(places[:2000], features[:2000], bins=bins)  # compiles
    before, start = memory_mb(), time.perf_counter()
    found = estimate_variogram(places, features, bins=bins, pairs=pairs)
    seconds = time.perf_counter() - start
    gigabytes = count * DIM * 2 / 1e9
    print(f"{count:,} x {DIM} ({gigabytes:.1f} GB), {found.provenance['pairs_seen']:,} pairs")
    print(
        f"{seconds:.0f} s; {memory_mb() - before:,.0f} MB more than before, mapped pages included"
    )
    short = found.lag < 25
    print(f"fewest pairs in a class below 25 km: {found.pair_count[short].min():,}")


if __name__ == "__main__":
    main()
