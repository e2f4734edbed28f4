from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from geopy.distance import geodesic

from geoloc.errors import ConfigError
from geoloc.evaluation import PROTOCOLS, protocol_named, score_predictions
from geoloc.places import Areas


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_order_of_rows_does_not_matter(world, name):
    one = score_predictions(world, name, resamples=50)
    order = np.random.default_rng(0).permutation(len(world))
    other = score_predictions(world.iloc[order], name, resamples=50)
    for key, value in one.metrics.items():
        assert other.metrics[key] == pytest.approx(value, rel=1e-12), key
    for key, interval in one.intervals["values"].items():
        assert other.intervals["values"][key] == pytest.approx(interval, rel=1e-9), key


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_perfect_predictions(world, name):
    perfect = world.assign(pred_lat_deg=world["true_lat_deg"], pred_lon_deg=world["true_lon_deg"])
    scores = score_predictions(perfect, name, resamples=0)
    assert scores.summary == {"mean_km": 0.0, "median_km": 0.0, "geoscore": 5000.0}
    assert [scores.metrics[f"Accuracy_{r}_km_radius"] for r in (1, 25, 200, 750, 2500)] == [1.0] * 5
    assert dict(scores.ceilings["perfect_prediction"]) == dict(scores.metrics)
    if name == "osv5m-clean":
        assert scores.metrics["Accuracy_city"] == 1.0


def test_swapped_latitude_and_longitude_would_be_seen(make_table):
    true = np.array([[48.8566, 2.3522], [35.0, 60.0], [-33.87, 70.0]])
    good = score_predictions(make_table(true, true), "osv5m-clean", resamples=0)
    swapped = score_predictions(make_table(true, true[:, ::-1]), "osv5m-clean", resamples=0)
    assert good.metrics["Accuracy_750_km_radius"] == 1.0
    assert swapped.metrics["Accuracy_2500_km_radius"] == 0.0
    both = score_predictions(make_table(true[:, ::-1], true[:, ::-1] + 1), "osv5m-clean")
    straight = score_predictions(make_table(true, true + 1), "osv5m-clean")
    assert both.summary["mean_km"] != pytest.approx(straight.summary["mean_km"], rel=0.01)


def test_namibia_is_a_country_and_a_missing_label_is_not(make_table):
    windhoek, paris = [-22.5594, 17.0832], [48.8566, 2.3522]
    frame = make_table([windhoek, windhoek, paris], [windhoek, paris, paris],
                       country=["NA", "NA", None])  # fmt: skip
    official = score_predictions(frame, "osv5m-official", resamples=0)
    clean = score_predictions(frame, "osv5m-clean", resamples=0)
    assert official.metrics["Accuracy_country"] == pytest.approx(1 / 3)
    assert official.ceilings["perfect_prediction"]["Accuracy_country"] == pytest.approx(2 / 3)
    assert clean.metrics["Accuracy_country"] == pytest.approx(1 / 2)
    assert clean.ceilings["perfect_prediction"]["Accuracy_country"] == 1.0
    assert clean.labelled == {"country": 2}


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA, ""])
def test_every_kind_of_missing_label_is_wrong_officially_and_left_out_cleanly(make_table, missing):
    place = [[48.8566, 2.3522]] * 2
    frame = make_table(place, place, country=["FR", missing], city=[missing, missing])
    official = score_predictions(frame, "osv5m-official", resamples=0).metrics
    assert (official["Accuracy_country"], official["Accuracy_city"]) == (0.5, 0.0)
    clean = score_predictions(frame, "osv5m-clean", resamples=0)
    assert clean.metrics["Accuracy_country"] == 1.0
    assert "Accuracy_city" not in clean.metrics
    assert clean.labelled["city"] == 0


def test_a_literal_nan_never_scores(make_table):
    frame = make_table([[0.0, 0.0]], [[0.0, 0.0]], country=["NaN"])
    assert score_predictions(frame, "osv5m-official").metrics["Accuracy_country"] == 0.0


def test_raw_degrees_and_sphere_differ_where_meridians_converge(make_table):
    generator = np.random.default_rng(3)
    true = np.stack([generator.uniform(60, 70, 400), generator.uniform(5, 60, 400)], axis=1)
    frame = make_table(true, true)
    clean = score_predictions(frame.assign(**_labels(true)), "osv5m-clean", resamples=0)
    official = score_predictions(frame.assign(**_labels(true)), "osv5m-official", resamples=0)
    assert clean.metrics["Accuracy_city"] == 1.0
    assert 0.3 < official.metrics["Accuracy_city"] < 0.99


def _labels(true):
    from geoloc.places import Gazetteer

    gazetteer = Gazetteer.load()
    levels = gazetteer.levels(gazetteer.nearest(true, metric="sphere"))
    return {f"unique_{level}": names for level, names in levels.items()}


def test_geoclip_measures_on_the_ellipsoid(world):
    some = world.iloc[:40]
    scores = score_predictions(some, "geoclip", resamples=0)
    km = [
        geodesic((r.true_lat_deg, r.true_lon_deg), (r.pred_lat_deg, r.pred_lon_deg)).km
        for r in some.itertuples()
    ]
    assert scores.summary["mean_km"] == pytest.approx(np.mean(km), rel=1e-9)
    assert not any(key.endswith(("country", "city")) for key in scores.metrics)


def test_gallery_ceiling_is_what_the_nearest_place_scores(make_table):
    true = [[0.0, 0.0], [0.0, 50.0], [0.0, 100.0]]
    gallery = np.array([[0.0, 0.05], [0.0, 51.0], [80.0, 0.0]])
    frame = make_table(true, [[0.0, 0.0]] * 3, country=["XX", "FR", "SJ"])
    scores = score_predictions(frame, "osv5m-clean", gallery_latlon_deg=gallery, resamples=0)
    ceiling = scores.ceilings["gallery"]
    degree = math.pi / 180 * 6371
    assert ceiling["mean_km"] == pytest.approx((0.05 + 1 + 49) * degree / 3)
    assert ceiling["Accuracy_25_km_radius"] == pytest.approx(1 / 3)
    assert ceiling["Accuracy_200_km_radius"] == pytest.approx(2 / 3)
    assert ceiling["Accuracy_country"] == pytest.approx(1 / 3)  # only Svalbard is on offer


def test_no_prediction_from_the_gallery_beats_its_ceiling(world):
    generator = np.random.default_rng(5)
    gallery = world[["true_lat_deg", "true_lon_deg"]].to_numpy()[::7]
    pick = gallery[generator.integers(len(gallery), size=len(world))]
    frame = world.assign(pred_lat_deg=pick[:, 0], pred_lon_deg=pick[:, 1])
    for name in PROTOCOLS:
        scores = score_predictions(frame, name, gallery_latlon_deg=gallery, resamples=0)
        for key, value in scores.metrics.items():
            best = scores.ceilings["gallery"][key]
            assert value >= best if key == "Haversine" else value <= best, (name, key)


def test_json_is_strict_and_of_the_promised_shape(world):
    scores = score_predictions(world, "osv5m-official", resamples=20)
    told = json.loads(json.dumps(scores.to_json(), allow_nan=False))
    assert (told["protocol"], told["count"]) == ("osv5m-official", 500)
    assert set(told["metrics"]) == {
        "Haversine",
        "Geoguessr",
        *(f"Accuracy_{radius}_km_radius" for radius in (1, 25, 200, 750, 2500)),
        *(f"Accuracy_{level}" for level in ("country", "region", "sub-region", "city")),
    }
    assert told["definition"]["comparison"] == "d < r"
    assert "6371" in told["definition"]["distance"]
    for key, (low, high) in told["intervals"]["values"].items():
        assert low <= (told["metrics"] | told["summary"])[key] <= high, key


def test_areas_tell_country_and_region_by_polygon(make_table):
    paris, lyon, berlin, ocean = [48.86, 2.35], [45.76, 4.84], [52.52, 13.4], [0.0, -30.0]
    frame = make_table([paris, paris, paris, ocean], [paris, lyon, berlin, paris])
    areas = score_predictions(frame, "osv5m-clean", areas=Areas.load(), resamples=0).areas
    assert areas["country"] == {"count": 3, "accuracy": pytest.approx(2 / 3)}
    assert areas["region"] == {"count": 3, "accuracy": pytest.approx(1 / 3)}


def test_an_unknown_protocol_is_refused_with_the_names_of_the_known():
    with pytest.raises(ConfigError, match="osv5m-official, osv5m-clean, geoclip"):
        protocol_named("osv5m")


def test_a_missing_label_is_out_of_every_gallerys_reach_officially(make_table):
    paris = [[48.8566, 2.3522]] * 2
    frame = make_table(paris, paris, country=["FR", None])
    scores = score_predictions(frame, "osv5m-official", gallery_latlon_deg=np.array(paris[:1]))
    assert scores.ceilings["gallery"]["Accuracy_country"] == 0.5


def test_copies_of_a_neighbourhood_narrow_no_interval(make_table):
    true = np.array([[0.0, lon] for lon in range(-170, 180, 20)], dtype=float)
    pred = true + np.array([[0.0, 0.1 if row % 2 else 9.0] for row in range(len(true))])

    def interval(copies):
        frame = make_table(np.repeat(true, copies, axis=0), np.repeat(pred, copies, axis=0))
        told = score_predictions(frame, "osv5m-clean", resamples=300).intervals
        assert told["blocks"] == len(true)
        return told["values"]["Accuracy_25_km_radius"]

    assert interval(20) == pytest.approx(interval(1))


@pytest.mark.parametrize("missing", ["NaN", "nan"])
def test_a_label_spelt_as_missing_is_left_out_cleanly_and_wrong_officially(make_table, missing):
    place = [[48.8566, 2.3522]] * 2
    frame = make_table(place, place, country=["FR", missing])
    official = score_predictions(frame, "osv5m-official", resamples=0)
    assert official.metrics["Accuracy_country"] == 0.5
    assert official.ceilings["perfect_prediction"]["Accuracy_country"] == 0.5
    assert official.labelled["country"] == 2
    clean = score_predictions(
        frame, "osv5m-clean", gallery_latlon_deg=np.array(place[:1]), resamples=0
    )
    assert clean.metrics["Accuracy_country"] == 1.0
    assert clean.labelled["country"] == 1
    for ceiling in clean.ceilings.values():
        assert ceiling["Accuracy_country"] == 1.0


def test_a_place_called_nan_is_a_label(make_table):
    # Nan is a province of Thailand.
    frame = make_table([[18.78, 100.78]], [[18.78, 100.78]], region=["Nan_TH"], city=["Nan"])
    clean = score_predictions(frame, "osv5m-clean", resamples=0)
    assert clean.labelled == {"region": 1, "city": 1}
    assert clean.metrics["Accuracy_region"] == 1.0
