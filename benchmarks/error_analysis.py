"""CPU time of `analyse_errors` for 210,000 predictions and a million training places.

Places are scattered around 20,000 towns, and the errors around one town are alike.
Run: python benchmarks/error_analysis.py [COUNT] [TRAINING]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
import pandas as pd

from geoloc.evaluation import analyse_errors
from geoloc.geodesy import destination_deg
from geoloc.places import Areas, Gazetteer


def table(count: int, seed: int) -> pd.DataFrame:
    """Predictions whose errors are alike around one city."""
    generator = np.random.default_rng(seed)
    cities = np.asarray(Gazetteer.load().latlon_deg)
    cities = cities[generator.choice(len(cities), 20_000, replace=False)]
    city = generator.integers(len(cities), size=count)
    away = np.abs(generator.normal(0.0, 20.0, count))
    true = destination_deg(cities[city], generator.uniform(0.0, 360.0, count), away)
    scale = np.exp(generator.normal(5.0, 1.0, len(cities)))[city]
    distance = np.minimum(scale * np.exp(generator.normal(0.0, 1.0, count)), 15_000.0)
    pred = destination_deg(true, generator.uniform(0.0, 360.0, count), distance)
    return pd.DataFrame(
        {
            "key": [str(row) for row in range(count)],
            "true_lat_deg": true[:, 0],
            "true_lon_deg": true[:, 1],
            "pred_lat_deg": pred[:, 0],
            "pred_lon_deg": pred[:, 1],
            "climate": generator.integers(1, 31, count),
            "dist_sea": np.abs(true[:, 0]),
        }
    )


def timed(what: str, call: Callable[[], object]) -> None:
    """Print the CPU seconds of one call."""
    start = time.process_time()
    call()
    print(f"{what:42s} {time.process_time() - start:7.2f} CPU s")


def main() -> None:
    """Time everything, and each part that can be left out."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 210_000
    training = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
    frame = table(count, 0)
    places = table(training, 1)[["true_lat_deg", "true_lon_deg"]].to_numpy(np.float64)
    Areas.load().locate(places[:10])
    print(f"{count:,} predictions, {training:,} training places")
    for resamples in (0, 1000):
        timed(
            f"everything, {resamples} draws",
            lambda resamples=resamples: analyse_errors(
                frame, "osv5m-clean", training_latlon_deg=places, resamples=resamples
            ),
        )


if __name__ == "__main__":
    main()
