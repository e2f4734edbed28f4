"""How often 95 % intervals hold the truth, over simulated worlds of known spatial correlation.

Each world is a Gaussian field of errors with an exponential covariance (its scale is the
correlation length c; the effective range is three times as long), some of it without any
correlation (the nugget, what no neighbour shares), at places either as uneven as photographs are
(drawn from GeoCLIP's gallery) or even over land. Two systems share part of what is hard. The field
becomes a distance (log-normal), the distance a predicted place, and the table of predictions goes
through `score_table` and `compare_tables` as a user's would; but the correlation length, which
costs the most, is estimated in the first 40 worlds alone (`warned`: the share of these in which a
user would be warned). The truth is the expectation over all worlds, known exactly. Beside it, what
drawing rows rather than blocks would have said.

Run: python benchmarks/bootstrap_coverage.py [--worlds N] [--places N] [--ratio R ...]
     [--kind uneven even] [--nugget N ...] [--block-km B]     (needs the package geoclip)
"""

import argparse
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from scipy.stats import norm

from geoloc.evaluation import compare_tables, geoscore, pairing, score_table, scoring
from geoloc.evaluation.error_correlation import correlation_length_km
from geoloc.evaluation.predictions import PredictionTable
from geoloc.geodesy import destination_deg
from geoloc.geostatistics import gaussian_field
from geoloc.models.geoclip import gallery_places
from geoloc.places import even_land_points

SPREAD, SHIFT, MOST_KM = 1.5, 0.15, 20_000.0
SHARED = 0.6
KEYS = {
    "@25": "Accuracy_25_km_radius",
    "@200": "Accuracy_200_km_radius",
    "@2500": "Accuracy_2500_km_radius",
    "score": "Geoguessr",
    "mean": "Haversine",
    "median": "median_km",
}


def places_of(kind: str, count: int) -> np.ndarray:
    if kind == "even":
        return even_land_points(count)
    gallery = np.unique(gallery_places(), axis=0)
    return gallery[np.random.default_rng(0).choice(len(gallery), count, replace=False)]


def km_of(z: np.ndarray, shift: float = 0.0) -> np.ndarray:
    return np.minimum(200.0 * np.exp(SPREAD * z - shift), MOST_KM)


def truth(shift: float) -> dict[str, float]:
    z = norm.ppf((np.arange(2_000_000) + 0.5) / 2_000_000)
    km = km_of(z, shift)
    told = {f"Accuracy_{r}_km_radius": float((km < r).mean()) for r in (25, 200, 2500)}
    return told | {
        "Geoguessr": float(geoscore(km).mean()),
        "Haversine": float(km.mean()),
        "median_km": 200.0 * float(np.exp(-shift)),
    }


def table_of(places: np.ndarray, km: np.ndarray, bearing: np.ndarray) -> PredictionTable:
    key = np.array([str(row) for row in range(len(km))], dtype=object)
    pred = destination_deg(places, bearing, km)
    return PredictionTable(key=key, true_deg=places, pred_deg=pred, label={})


def by_rows(value: np.ndarray) -> tuple[float, float]:
    """What a bootstrap of rows tends to for a mean."""
    half = 1.96 * value.std() / np.sqrt(len(value))
    return float(value.mean() - half), float(value.mean() + half)


def worlds(places: np.ndarray, scale_km: float, nugget: float, count: int):
    """(first, second) field of each world, of variance one everywhere."""
    source = torch.Generator().manual_seed(11)
    field = gaussian_field(
        places, lambda lag: torch.exp(-lag / scale_km), generator=source, fields=3 * count
    )
    z = field[:, :, 0].numpy().reshape(count, 3, -1)
    noise = np.random.default_rng(12).normal(size=z.shape)
    z = np.sqrt(1 - nugget) * z + np.sqrt(nugget) * noise
    for one in z:
        yield np.sqrt(SHARED) * one[0] + np.sqrt(1 - SHARED) * one[1:]


def study(
    places: np.ndarray, *, scale_km: float, block_km: float, nugget: float, count: int
) -> list[float]:
    first, second = truth(0.0), truth(SHIFT)
    bearing = np.random.default_rng(13).uniform(0, 360, len(places))
    single, paired = dict.fromkeys(KEYS, 0), dict.fromkeys(KEYS, 0)
    rows = {"@200": 0, "Δ@200": 0}
    warned = 0
    looked_at = min(count, 40)
    for number, (a, b) in enumerate(worlds(places, scale_km, nugget, count)):
        estimate = correlation_length_km if number < looked_at else lambda *_, **__: None
        scoring.correlation_length_km = pairing.correlation_length_km = estimate
        km = km_of(a), km_of(b, SHIFT)
        tables = {n: table_of(places, d, bearing) for n, d in zip("ab", km, strict=True)}
        how = {"resamples": 400, "seed": number, "block_km": block_km}
        (scores,) = score_table(tables["a"], ["osv5m-clean"], **how)
        (told,) = compare_tables(tables, "osv5m-clean", **how)
        warned += scores.intervals["warning"] is not None
        differences = {each.metric: each for each in told.differences}
        for name, key in KEYS.items():
            low, high = scores.intervals["values"][key]
            single[name] += low <= first[key] <= high
            each = differences[key]
            paired[name] += each.low <= second[key] - first[key] <= each.high
        key = KEYS["@200"]
        low, high = by_rows((km[0] < 200).astype(float))
        rows["@200"] += low <= first[key] <= high
        low, high = by_rows((km[1] < 200).astype(float) - (km[0] < 200))
        rows["Δ@200"] += low <= second[key] - first[key] <= high
    hits = [*single.values(), *paired.values(), *rows.values()]
    return [*(100.0 * each / count for each in hits), 100.0 * warned / looked_at]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--worlds", type=int, default=500)
    parser.add_argument("--places", type=int, default=1500)
    parser.add_argument("--ratio", type=float, nargs="+", default=[0.067, 0.2, 0.5, 1.0])
    parser.add_argument("--kind", nargs="+", default=["uneven", "even"])
    parser.add_argument("--nugget", type=float, nargs="+", default=[0.0, 0.5])
    parser.add_argument("--block-km", type=float, default=500.0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{args.worlds} worlds, blocks of {args.block_km:g} km; coverage of 95 % in %")
    names = (*KEYS, *(f"Δ{name}" for name in KEYS), "rows", "Δrows", "warned")
    print(f"{'places':11} {'c/b':>5} {'nug':>4} " + " ".join(f"{name:>6}" for name in names))
    start = time.process_time()
    for kind in args.kind:
        places = places_of(kind, args.places)
        for ratio in args.ratio:
            for nugget in args.nugget:
                told = study(
                    places,
                    scale_km=ratio * args.block_km,
                    block_km=args.block_km,
                    nugget=nugget,
                    count=args.worlds,
                )
                cells = " ".join(f"{each:6.1f}" for each in told)
                print(f"{kind:6} {len(places):4} {ratio:5.3f} {nugget:4.1f} {cells}", flush=True)
    print(f"{time.process_time() - start:.0f} CPU seconds")


if __name__ == "__main__":
    main()
