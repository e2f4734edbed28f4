from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from geoloc.errors import ConfigError, DataError
from geoloc.evaluation.resampling import spatial_blocks
from geoloc.evaluation.strata_labels import (
    StrataSources,
    chosen_strata,
    column_labels,
    distance_labels,
    nearest_training_km,
    stratum_labels,
    training_nearby,
)
from geoloc.geodesy import destination_deg, pairwise_great_circle_km, sample_sphere
from geoloc.places import Areas

PARIS, WINDHOEK, SEA, QUITO = (48.86, 2.35), (-22.56, 17.08), (0.0, -30.0), (-0.18, -78.47)


def sources(places=(PARIS, WINDHOEK, SEA, QUITO), training=None, **columns):
    true, areas = np.array(places), Areas.load()
    return StrataSources(
        frame=pd.DataFrame(columns, index=range(len(places))),
        true_deg=true,
        located=areas.locate(true),
        training_deg=training,
    )


def names_of(labels):
    return [labels.names[code] if code >= 0 else None for code in labels.code]


def test_places_are_told_by_polygon_where_the_table_says_nothing():
    known = sources()
    assert names_of(stratum_labels("country", known)) == ["FR", "NA", None, "EC"]
    continents = ["Europe", "Africa", None, "South America"]
    assert names_of(stratum_labels("continent", known)) == continents
    assert names_of(stratum_labels("region", known))[1].startswith("NA/Khomas")


def test_the_table_s_own_labels_come_first():
    known = sources(unique_country=["FR", "NA", "", "NaN"], unique_region=["x_FR", None, "y", "z"])
    labels = stratum_labels("country", known)
    assert names_of(labels) == ["FR", "NA", None, None]
    assert "unique_country" in labels.source
    assert names_of(stratum_labels("region", known)) == ["x_FR", None, "y", "z"]


def test_classes_of_the_distance_to_training_hold_their_lower_edge():
    labels = distance_labels(np.array([0.0, 0.99, 1.0, 24.9, 25.0, 99.0, 499.0, 500.0, 9000.0]))
    assert names_of(labels) == [
        *("<1 km", "<1 km", "1-5 km", "5-25 km", "25-100 km", "25-100 km", "100-500 km"),
        *(">=500 km", ">=500 km"),
    ]


def test_the_nearest_training_place_and_the_cell_s_are_those_of_a_full_search():
    generator = np.random.default_rng(0)
    true = sample_sphere(50, generator=generator)
    near = destination_deg(true, generator.uniform(0, 360, 50), generator.uniform(0, 60, 50))
    training = np.concatenate([near, sample_sphere(400, generator=generator)])
    distance = pairwise_great_circle_km(true, training)
    np.testing.assert_allclose(nearest_training_km(true, training), distance.min(axis=1))
    cell = spatial_blocks(true, block_km=100.0)
    naive = (cell[:, None] == spatial_blocks(training, block_km=100.0)).sum(axis=1)
    np.testing.assert_array_equal(training_nearby(true, training, cell_km=100.0), naive)
    assert 0 < naive.sum() < 60


def test_training_places_make_strata_by_density():
    training = np.concatenate([np.tile([PARIS], (10, 1)), [WINDHOEK]])
    labels = stratum_labels("training_density", sources(training=training))
    assert names_of(labels) == ["10-99", "1-9", "0", "0"]
    labels = stratum_labels("distance_to_training", sources(training=training))
    assert names_of(labels) == ["<1 km", "<1 km", ">=500 km", ">=500 km"]


def test_columns_of_quantities_are_cut_into_fifths_and_codes_are_not():
    quantity = pd.Series(np.arange(100) / 10.0)
    labels = column_labels("dist_sea", quantity)
    assert labels.ordered
    np.testing.assert_array_equal(np.bincount(labels.code), [20] * 5)
    assert labels.names[0] == "<=1.98"
    assert (np.diff(labels.code) >= 0).all()
    codes = column_labels("climate", pd.Series([1, 30, 30, np.nan, 5]))
    assert names_of(codes) == ["1", "30", "30", None, "5"]
    as_text = column_labels("climate", pd.Series(["1", "30", "30", "", "5"]))
    assert names_of(as_text) == names_of(codes)
    words = column_labels("biome", pd.Series(["tundra", None, "steppe", "tundra"]))
    assert names_of(words) == ["tundra", None, "steppe", "tundra"]
    many_whole = column_labels("road_index", pd.Series(np.arange(65)))
    assert many_whole.ordered


def test_what_cannot_be_told_is_said():
    with pytest.raises(ConfigError, match="choose among country, continent, region"):
        stratum_labels("contry", sources())
    with pytest.raises(ConfigError, match="--training PLACES"):
        stratum_labels("distance_to_training", sources())
    with pytest.raises(DataError, match="no classes"):
        column_labels("key", pd.Series([f"k{row}" for row in range(1001)]))


def test_unasked_everything_is_told():
    frame = pd.DataFrame({"climate": [1], "other": [2]})
    assert chosen_strata(None, frame, training=False) == (
        "country",
        "continent",
        "region",
        "climate",
    )
    assert "distance_to_training" in chosen_strata(None, frame, training=True)
    assert chosen_strata(["other", "other"], frame, training=True) == ("other",)
