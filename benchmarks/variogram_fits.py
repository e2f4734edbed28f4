"""Time of fits: one curve with its flags, and a thousand noisy curves in one call.

Run: python benchmarks/variogram_fits.py
"""

import time

import numpy as np
import torch

from geoloc.geodesy import sample_sphere
from geoloc.geostatistics import LagBins, estimate_variogram, fit_curves, fit_variogram

LAG = np.geomspace(5.0, 9000.0, 30)


def least(run, rounds: int = 5) -> float:
    """Milliseconds of CPU time, the least of the rounds."""
    spent = []
    for _ in range(rounds):
        start = time.process_time()
        run()
        spent.append(time.process_time() - start)
    return min(spent) * 1000


def main() -> None:
    torch.set_num_threads(1)
    generator = np.random.default_rng(0)
    places = sample_sphere(1500, generator=generator)
    values = np.sin(np.radians(places[:, 0]) * 4) + 0.5 * generator.normal(size=1500)
    variogram = estimate_variogram(places, values, bins=LagBins.logarithmic(40, 10.0, 20_016.0))
    curve = 0.2 + 0.8 * (1 - np.exp(-LAG / 900.0))
    curves = torch.from_numpy(curve * np.exp(0.1 * generator.normal(size=(1000, len(LAG)))))
    lag, weight = torch.from_numpy(LAG)[None], torch.ones(1, len(LAG), dtype=torch.float64)
    for model in ("exponential", "spherical", "stable"):
        one = least(lambda model=model: fit_variogram(variogram, model, weights="n"))
        default = least(lambda model=model: fit_variogram(variogram, model))
        many = least(lambda model=model: fit_curves(lag, curves, weight, model=model), 2)
        print(f"{model:12} one {one:6.0f} ms, weights n/gamma2 {default:6.0f} ms", end="")
        print(f"; 1,000 curves {many:8.0f} ms")


if __name__ == "__main__":
    main()
