import subprocess
import sys

import geopandas
import numpy as np
import pytest
import shapely

from geoloc.errors import ConfigError, CoordinateError
from geoloc.geodesy import fibonacci_sphere, great_circle_km, sample_sphere
from geoloc.places import Areas, even_land_points
from geoloc.places import areas as module

CITIES = [
    ("Windhoek", -22.5597, 17.0832, "NA", "Namibia", "Khomas", "NA-KH"),
    ("Paris", 48.8566, 2.3522, "FR", "France", "Paris", "FR-75"),
    ("Oslo", 59.9139, 10.7522, "NO", "Norway", "Oslo", "NO-03"),
    ("Pristina", 42.6629, 21.1655, "XK", "Kosovo", "Kosovo and Metohija", "XK-X20~"),
    ("Munich", 48.1372, 11.5756, "DE", "Germany", "Bavaria", "DE-BY"),
    ("Jakarta", -6.1754, 106.8272, "ID", "Indonesia", "Jakarta", None),
    ("Phoenix", 33.4484, -112.074, "US", "United States of America", "Arizona", "US-AZ"),
    ("Alice Springs", -23.698, 133.8807, "AU", "Australia", "Northern Territory", "AU-NT"),
    ("Maseru", -29.31, 27.48, "LS", "Lesotho", "Maseru", "LS-A"),
    ("Vatican", 41.9029, 12.4534, "VA", "Vatican", None, None),
    ("Cayenne", 4.9224, -52.3135, "FR", "France", None, None),
    ("Nicosia north", 35.33, 33.32, "CY", "Northern Cyprus", None, None),
    ("Hargeisa", 9.56, 44.065, "SO", "Somaliland", None, None),
    ("Suva", -18.0, 178.3, "FJ", "Fiji", None, "FJ-C"),
    ("Taveuni, east of 180", -16.84, -179.93, "FJ", "Fiji", "Northern", "FJ-N"),
    ("Taveuni, on 180", -16.8, 180.0, "FJ", "Fiji", "Northern", "FJ-N"),
    ("Taveuni, on -180", -16.8, -180.0, "FJ", "Fiji", "Northern", "FJ-N"),
    ("Chukotka west", 67.0, 178.0, "RU", "Russia", "Chukotka Autonomous Okrug", "RU-CHU"),
    ("Chukotka east", 66.5, -173.0, "RU", "Russia", "Chukotka Autonomous Okrug", "RU-CHU"),
    ("Chukotka, on 180", 68.0, 180.0, "RU", "Russia", "Chukotka Autonomous Okrug", "RU-CHU"),
    ("South Pole", -90.0, 0.0, "AQ", "Antarctica", "Antarctica", None),
    ("South Pole, other name", -90.0, 180.0, "AQ", "Antarctica", "Antarctica", None),
]
AT_SEA = [(0, 0), (90, 0), (90, 180), (30, -40), (-40, 180), (-40, -180), (85, 10), (42, 51)]


@pytest.fixture(scope="module")
def areas():
    return Areas.load()


def random_places(count, seed=0):
    return sample_sphere(count, generator=np.random.default_rng(seed))


def test_the_file_is_whole(areas):
    assert len(areas.country_code) == 4596
    assert Areas.load() is areas
    for column in (areas.country_code, areas.country_code_a3, areas.country, areas.region_code):
        assert {type(word) for word in column} == {str}
    assert {len(code) for code in areas.country_code} == {2}
    assert "-99" not in areas.country_code
    assert (areas.country_code == "NA").sum() == 13
    assert len(set(areas.country_code)) > 230
    assert sum(name is None for name in areas.region) == 6
    assert set(areas.continent) == {"AF", "AN", "AS", "EU", "NA", "OC", "SA", None}


def test_neighbours_share_their_borders(areas):
    # the chain of border, coast and outline rests on it: no gap, no overlap
    assert set(shapely.get_type_id(areas.polygon).tolist()) == {3}
    assert shapely.coverage_is_valid(areas.polygon)


@pytest.mark.parametrize(("name", "lat", "lon", "code", "country", "region", "region_code"), CITIES)
def test_known_cities(areas, name, lat, lon, code, country, region, region_code):
    table = areas.locate(np.array([[lat, lon]]), max_coast_km=0.0)
    assert (table.country_code[0], table.country[0]) == (code, country), name
    assert region is None or table.region[0] == region
    assert region_code is None or table.region_code[0] == region_code
    assert table.on_land[0]


def test_a_table_of_many_equals_one_by_one(areas):
    table = areas.locate(np.array([(row[1], row[2]) for row in CITIES], np.float32))
    assert len(table) == len(CITIES)
    assert table.country.tolist() == [row[4] for row in CITIES]
    assert areas.country[table.area_index].tolist() == table.country.tolist()


@pytest.mark.parametrize("place", AT_SEA)
def test_the_open_sea_is_nowhere(areas, place):
    table = areas.locate(np.array([place], float))
    assert table.country_code.tolist() == [None]
    assert table.country.tolist() == table.region.tolist() == table.region_code.tolist() == [None]
    assert table.area_index.tolist() == [-1]
    assert not table.on_land[0]


def test_nearest_coast_rule(areas):
    # 6 km off Marseille, and 60 km off it
    near, far = np.array([[43.25, 5.29]]), np.array([[42.6, 5.29]])
    table = areas.locate(near)
    assert table.country.tolist() == ["France"]
    assert not table.on_land[0]
    assert areas.locate(near, max_coast_km=1.0).country.tolist() == [None]
    assert areas.locate(far).country.tolist() == [None]
    assert areas.locate(far, max_coast_km=100.0).country.tolist() == ["France"]


def test_lakes_are_land_and_the_caspian_is_not(areas):
    superior, victoria, caspian = (47.7, -87.5), (-1.0, 33.0), (42.0, 50.5)
    land = areas.is_land(np.array([superior, victoria, caspian]))
    assert land.tolist() == [True, True, False]


def test_equals_geopandas(areas):
    """An independent way from file to answer: geopandas reads the file and joins."""
    places = random_places(4000)
    file = module.importlib.resources.files("geoloc.places") / "natural_earth_admin1.parquet"
    frame = geopandas.read_parquet(file)
    points = geopandas.GeoDataFrame(
        geometry=geopandas.points_from_xy(places[:, 1], places[:, 0]), crs=frame.crs
    )
    joined = points.sjoin(frame, predicate="intersects", how="left")
    assert joined.index.is_unique
    expected = joined["index_right"].fillna(-1).astype(int).to_numpy()
    table = areas.locate(places, max_coast_km=0.0)
    np.testing.assert_array_equal(table.area_index, expected)
    np.testing.assert_array_equal(areas.is_land(places), expected >= 0)
    on_land = expected >= 0
    assert table.country_code[on_land].tolist() == joined["iso_a2"][on_land].tolist()


def test_a_place_on_a_border_takes_the_lower_index(areas):
    shared = module._edges(areas)
    shared = shared.where(shared.other_area >= 0)
    middle = shared.start[:200, ::-1]
    index = areas.locate(np.ascontiguousarray(middle), max_coast_km=0.0).area_index
    assert (index >= 0).all()
    assert (index <= np.minimum(shared.area, shared.other_area)[:200]).all()


def test_land_share_by_area_and_by_counting(areas):
    # CIA World Factbook: 29.1 % of the Earth is land; ice shelves and the Caspian are not in ours
    assert areas.land_share() == pytest.approx(0.289, abs=0.003)
    assert areas.is_land(fibonacci_sphere(50_000)).mean() == pytest.approx(
        areas.land_share(), abs=0.002
    )


def test_even_land_points_are_even_by_area(areas):
    points = areas.even_land_points(20_000)
    assert len(points) == pytest.approx(20_000, rel=0.01)
    table = areas.locate(points, max_coast_km=0.0)
    assert table.on_land.all()
    continent = areas.continent[table.area_index]
    # published land areas in millions of km2, of 148.9 in all; Europe and Asia are left out, since
    # this file counts all of Russia to one of them
    for code, area in {"AF": 30.37, "AN": 12.3, "SA": 17.84, "NA": 24.71}.items():
        assert (continent == code).mean() == pytest.approx(area / 148.9, abs=0.008), code
    brazil = (table.country_code == "BR").mean()
    assert brazil == pytest.approx(8.516 / 148.9, abs=0.003)


def test_even_land_points_repeat_and_scale(areas):
    np.testing.assert_array_equal(even_land_points(500), areas.even_land_points(500))
    assert len(areas.even_land_points(0)) == 0
    assert len(areas.even_land_points(1000)) == pytest.approx(1000, rel=0.05)
    with pytest.raises(ConfigError, match="count"):
        areas.even_land_points(-5)


def test_outlines_are_light_and_lie_on_coasts_and_borders(areas):
    lines = areas.outlines()
    vertices = np.concatenate(lines)
    assert len(vertices) < 50_000
    assert all(len(line) >= 2 for line in lines)
    assert np.abs(vertices[:, 0]).max() < 90
    assert np.abs(vertices[:, 1]).max() <= 180
    # no line jumps over the map
    assert max(np.abs(np.diff(line[:, 1])).max() for line in lines) < 30
    drawn = shapely.union_all([shapely.LineString(line[:, ::-1]) for line in lines])
    lands_end, us_canada = shapely.Point(-5.71, 50.07), shapely.Point(-110, 49.0)
    bavaria_hesse, utah_arizona = shapely.Point(9.5, 50.1), shapely.Point(-111, 37)
    assert shapely.distance(drawn, lands_end) < 0.15
    assert shapely.distance(drawn, us_canada) < 0.1
    assert shapely.distance(drawn, bavaria_hesse) > 1
    assert shapely.distance(drawn, utah_arizona) > 3


def test_every_country_keeps_its_coast(areas):
    drawn = shapely.union_all([shapely.LineString(line[:, ::-1]) for line in areas.outlines()])
    edges = module._edges(areas)
    coast = edges.where(edges.other_area < 0)
    code = areas.country_code[coast.area]
    # the first and the last country of the file too: index -1 stands for the sea
    for country in ("FR", "GB", "JP", "NA", areas.country_code[0], areas.country_code[-1]):
        starts = coast.start[code == country]
        assert len(starts) > 30
        assert np.median(shapely.distance(drawn, shapely.points(starts))) < 0.1, country


def test_outlines_keep_within_their_tolerance(areas):
    fine, coarse = areas.outlines(tolerance_deg=0.02), areas.outlines(tolerance_deg=0.5)
    assert sum(map(len, coarse)) < sum(map(len, fine)) / 4
    assert not coarse[0].flags.writeable
    with pytest.raises(ConfigError, match="tolerance_deg"):
        areas.outlines(tolerance_deg=-1.0)


def test_islands_on_the_antimeridian_are_near_themselves(areas):
    # one island, one region, on both sides of the cut
    both = areas.locate(np.array([[-16.85, 179.97], [-16.85, -179.97]]))
    assert both.region_code[0] == both.region_code[1]
    assert great_circle_km(np.array([-16.85, 179.97]), np.array([-16.85, -179.97])) < 7


@pytest.mark.parametrize("bad", [(np.nan, 0.0), (91.0, 0.0), (0.0, 181.0), (151.2, -33.9)])
def test_places_that_are_none_are_refused(areas, bad):
    with pytest.raises(CoordinateError):
        areas.is_land(np.array([bad]))
    with pytest.raises(CoordinateError):
        areas.locate(np.array([bad]))


@pytest.mark.parametrize("km", [-1.0, float("nan")])
def test_impossible_reach_is_refused(areas, km):
    with pytest.raises(ConfigError, match="max_coast_km"):
        areas.locate(np.zeros((1, 2)), max_coast_km=km)


def test_no_places(areas):
    table = areas.locate(np.zeros((0, 2)))
    assert len(table) == 0
    assert areas.is_land(np.zeros((0, 2))).shape == (0,)


def test_importing_the_room_reads_no_data_and_no_pandas():
    code = (
        "import sys, geoloc.places;"
        "heavy = {'pandas', 'geopandas', 'pyarrow', 'pyproj'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_coast_around_a_few_places_is_the_worlds_there(monkeypatch):
    areas = Areas.load()
    whole = module._coast(areas)
    rng = np.random.default_rng(0)
    piece = whole.start[rng.integers(0, len(whole.start), 30)]
    lat = np.rad2deg(np.arcsin(piece[:, 2])) + rng.normal(0, 0.15, 30)
    lon = np.rad2deg(np.arctan2(piece[:, 1], piece[:, 0])) + rng.normal(0, 0.2, 30)
    places = np.stack([np.clip(lat, -90, 90), (lon + 180) % 360 - 180], axis=-1)
    # Either side of the antimeridian at Fiji and Wrangel Island, a pole, and the open sea.
    odd = [[-16.8, 179.99], [-16.8, -179.99], [71.2, 180.0], [71.2, -180.0], [89.9, 3.0], [0, -30]]
    places = np.concatenate([places, np.array(odd, dtype=float)])
    monkeypatch.setattr(module, "_FEW_TIMES", 10**9)
    for within_km in (3.0, 25.0):
        expected = whole.nearest_area(places, within_km=within_km)
        assert (expected >= 0).sum() > 5
        for start in range(0, len(places), 6):
            some = places[start : start + 6]
            coast = areas._coast_near(some, within_km)
            found = -1 if coast is None else coast.nearest_area(some, within_km=within_km)
            assert np.array_equal(np.broadcast_to(found, 6), expected[start : start + 6])
    assert areas._coast_near(np.array([[0.0, -30.0]]), 25.0) is None


def test_the_coast_around_a_few_places_reaches_across_the_antimeridian(monkeypatch):
    areas = Areas.load()
    monkeypatch.setattr(module, "_FEW_TIMES", 10**9)
    whole, across = module._coast(areas), 0
    for lat in (
        *np.arange(-20.0, -15.0, 0.1),
        *np.arange(50.0, 53.0, 0.1),
        *np.arange(64, 72, 0.1),
    ):
        for lon in (-179.98, 179.98):
            place = np.array([[lat, lon]])
            expected = whole.nearest_area(place, within_km=25.0)
            coast = areas._coast_near(place, 25.0)
            found = -1 if coast is None else coast.nearest_area(place, within_km=25.0)
            assert np.array_equal(np.broadcast_to(found, 1), expected), place
            box = shapely.box(lon - 0.6, lat - 0.3, lon + 0.6, lat + 0.3)
            across += bool(expected[0] >= 0 and not len(areas.tree.query(box, "intersects")))
    # Some of these places have land on the other side of the cut only.
    assert across > 0
