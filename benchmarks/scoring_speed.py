"""Scoring a table of predictions: geoloc beside the way of OSV-5M's metrics, CPU time.

210,000 predictions under osv5m-official, osv5m-clean and geoclip at once: all radii, all
administrative levels, and what a perfect prediction would reach. OSV-5M's way computes its one
protocol batch by batch of 256, as its `metrics/` do: haversine in torch on float32 radians, a call
of `reverse_geocoder.search` for the batch, names joined to strings, strings compared. Its code
leaves that call at its default, which starts processes every time (their CPU time counts); beside
it, the same with the package's single process, which it does not ask for. Both are timed on the
first ROWS rows and scaled by their number. Asserted first: the same strings for every one of these
rows, and the same metrics.

Run: python benchmarks/scoring_speed.py [PREDICTIONS] [ROWS] [ROUNDS]
"""

import os
import resource
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import reverse_geocoder
import torch
from reverse_geocoder.cKDTree_MP import cKDTree_MP
from scipy.spatial import cKDTree

from geoloc.evaluation import PROTOCOLS, prediction_table, score_table
from geoloc.places import Gazetteer

LEVELS = ("country", "region", "sub-region", "city")
RADII = (1, 25, 200, 750, 2500)
BATCH = 256


def make_table(count: int) -> pd.DataFrame:
    """Places near cities, guesses from some km to half a world away, labels as OSV-5M has them."""
    generator, gazetteer = np.random.default_rng(0), Gazetteer.load()
    city = gazetteer.latlon_deg[generator.integers(len(gazetteer), size=count)]
    true = city + generator.normal(0, 0.05, (count, 2))
    pred = true + 10.0 ** generator.uniform(-2, 1.5, (count, 1)) * generator.normal(size=(count, 2))
    places = []
    for place in (true, pred):
        radians = torch.from_numpy(
            np.radians(np.stack([place[:, 0].clip(-90, 90), (place[:, 1] + 180) % 360 - 180], 1))
        ).float()
        # what its code asks for: float32 degrees of float32 radians
        places.append(np.degrees(radians.numpy()).clip([-90, -180], [90, 180]))
    true, pred = places
    frame = pd.DataFrame(
        {
            "key": [str(10**15 + row) for row in range(count)],
            "true_lat_deg": true[:, 0].astype(np.float64),
            "true_lon_deg": true[:, 1].astype(np.float64),
            "pred_lat_deg": pred[:, 0].astype(np.float64),
            "pred_lon_deg": pred[:, 1].astype(np.float64),
        }
    )
    nearest = gazetteer.nearest(true.astype(np.float64), metric="raw_degrees")
    for level, names in gazetteer.levels(nearest).items():
        lacking = np.char.startswith(names.astype(str), "_")
        frame[f"unique_{level}"] = np.where(lacking, "NaN", names)
    return frame


def their_strings(location: list[dict[str, str]]) -> dict[str, np.ndarray]:
    parts = {
        "country": ("cc",),
        "region": ("admin1", "cc"),
        "sub-region": ("admin2", "admin1", "cc"),
        "city": ("name", "admin2", "admin1", "cc"),
    }
    return {
        level: np.array(["_".join(place.get(key, "") for key in keys) for place in location])
        for level, keys in parts.items()
    }


def their_way(frame: pd.DataFrame) -> tuple[dict[str, float], dict[str, list[str]]]:
    columns = ["true_lat_deg", "true_lon_deg", "pred_lat_deg", "pred_lon_deg"]
    degrees = torch.from_numpy(frame[columns].to_numpy(np.float32).copy())
    label = {level: frame[f"unique_{level}"].tolist() for level in LEVELS}
    sums = dict.fromkeys(("Haversine", "Geoguessr"), 0.0)
    hits: dict[str, float] = {}
    strings: dict[str, list[str]] = {level: [] for level in LEVELS}
    for start in range(0, len(frame), BATCH):
        batch = degrees[start : start + BATCH]
        lat, lon, pred_lat, pred_lon = torch.deg2rad(batch).T
        a = torch.sin((pred_lat - lat) / 2) ** 2
        a = a + torch.cos(pred_lat) * torch.cos(lat) * torch.sin((pred_lon - lon) / 2) ** 2
        km = 6371 * 2 * torch.arctan2(torch.sqrt(a), torch.sqrt(1 - a))
        sums["Haversine"] += km.sum()
        sums["Geoguessr"] += (5000 * torch.exp(-km / 1492.7)).sum()
        for radius in RADII:
            key = f"Accuracy_{radius}_km_radius"
            hits[key] = hits.get(key, 0) + (km < radius).sum()
        pairs = [(float(one), float(other)) for one, other in batch[:, 2:].numpy()]
        location = reverse_geocoder.search(pairs, verbose=False)
        for level, names in their_strings(location).items():
            strings[level] += names.tolist()
            right = (names == np.array(label[level][start : start + BATCH])).sum()
            hits[f"Accuracy_{level}"] = hits.get(f"Accuracy_{level}", 0) + right
    metrics = {key: float(value) / len(frame) for key, value in (sums | hits).items()}
    return metrics, strings


def our_strings(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    gazetteer = Gazetteer.load()
    places = frame[["pred_lat_deg", "pred_lon_deg"]].to_numpy()
    return gazetteer.levels(gazetteer.nearest(places, metric="raw_degrees"))


def use_processes(several: bool) -> None:
    """Its one geocoder, with the tree of its mode 2 (the default) or of its mode 1."""
    geocoder = reverse_geocoder.RGeocoder(mode=1, verbose=False)
    places = np.asarray(geocoder.tree.data)
    geocoder.tree = cKDTree_MP(places) if several else cKDTree(places)
    geocoder.mode = 2 if several else 1


def cpu(action) -> float:
    def spent() -> float:
        kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, kinds))

    start = spent()
    action()
    return spent() - start


def check_equal(some: pd.DataFrame) -> None:
    """Their strings and metrics are ours."""
    (ours,) = score_table(prediction_table(some), ["osv5m-official"], resamples=0)
    names = our_strings(some)
    for several in (False, True):
        use_processes(several)
        metrics, strings = their_way(some)
        unlike = sum(
            one != other
            for level in LEVELS
            for one, other in zip(names[level], strings[level], strict=True)
        )
        way = "their call" if several else "one process"
        print(f"{way}: {unlike} strings of {len(some):,} rows differ")
    # of equally near cities the single process finds others; the default is the protocol
    assert unlike == 0
    worst = max(abs(ours.metrics[key] / value - 1) for key, value in metrics.items())
    # theirs are sums in float32 of distances in float32
    assert worst < 1e-4, worst
    print(f"their call: metrics equal to {worst:.1e}")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 210_000
    few = min(count, int(sys.argv[2]) if len(sys.argv) > 2 else 5_120)
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    torch.set_num_threads(1)
    frame = make_table(count)
    some = frame.iloc[:few]
    check_equal(some)
    table = prediction_table(frame)
    every = list(PROTOCOLS)
    actions = {
        "their call": lambda: their_way(some),
        "their call, one process": lambda: their_way(some),
        "check of the table": lambda: prediction_table(frame),
        "three protocols": lambda: score_table(table, every, resamples=0),
        "osv5m-official alone": lambda: score_table(table, every[:1], resamples=0),
    }
    actions["three protocols"]()
    times: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(rounds):
        for name, action in actions.items():
            use_processes(name == "their call")
            times[name].append(cpu(action))
    best = {name: min(each) for name, each in times.items()}
    for name in ("their call", "their call, one process"):
        best[name] *= count / few
    for name, seconds in best.items():
        scaled = f", scaled from {few:,} rows" if name.startswith("their") else ""
        print(f"{name:24} {seconds:7.2f} CPU-s{scaled}")
    for name in ("their call", "their call, one process"):
        whole = best["three protocols"] + best["check of the table"]
        alone = best["osv5m-official alone"] + best["check of the table"]
        print(f"{name}: {best[name] / whole:.1f} times our three protocols, ", end="")
        print(f"{best[name] / alone:.1f} times osv5m-official alone, both with the check")
    print(f"with intervals: {cpu(lambda: score_table(table, every)):.1f} CPU-s")


if __name__ == "__main__":
    main()
