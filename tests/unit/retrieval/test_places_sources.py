from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from geoloc.errors import CoordinateError, DataError
from geoloc.retrieval import distinct_places, grouped_places_from_file, places_from_file


def test_distinct_places_against_a_naive_loop():
    generator = np.random.default_rng(0)
    places = generator.integers(-3, 4, size=(200, 2)).astype(float)
    first, own = distinct_places(places)
    seen: list[tuple[float, float]] = []
    for row, place in enumerate(map(tuple, places)):
        if place not in seen:
            assert first[len(seen)] == row
            seen.append(place)
        assert own[row] == seen.index(place)
    assert len(first) == len(seen)


def test_one_point_under_two_names_is_one_place():
    places = np.array([[5.0, 180.0], [5.0, -180.0], [90.0, 3.0], [90.0, -70.0], [0.0, -0.0],
                       [-0.0, 0.0], [-90.0, 3.0]])  # fmt: skip
    first, own = distinct_places(places)
    assert (first.tolist(), own.tolist()) == ([0, 2, 4, 6], [0, 0, 1, 1, 2, 2, 3])


@pytest.mark.parametrize("header", ["LAT,LON", "longitude,name,latitude", "id,lat,lng"])
def test_csv_by_the_usual_names(tmp_path, header):
    path = tmp_path / "places.csv"
    values = {"lat": "1.5", "lon": "-2.5", "lng": "-2.5", "latitude": "1.5", "longitude": "-2.5"}
    row = ",".join(values.get(name.lower(), "x") for name in header.split(","))
    path.write_text(f"{header}\n{row}\n")
    assert places_from_file(path).tolist() == [[1.5, -2.5]]


def test_csv_by_names_given_and_its_errors(tmp_path):
    path = tmp_path / "places.csv"
    path.write_text("y,x\n1,2\n3,\n")
    with pytest.raises(DataError, match=r"no one column.*\['y', 'x'\]"):
        places_from_file(path)
    with pytest.raises(DataError, match="no column 'lat'"):
        places_from_file(path, latitude="lat", longitude="x")
    with pytest.raises(CoordinateError, match="row 2"):
        places_from_file(path, latitude="y", longitude="x")
    path.write_text("lat,lon\n1,2\n95,2\n")
    with pytest.raises(CoordinateError, match="95"):
        places_from_file(path)
    path.write_text("lat,lon\n")
    with pytest.raises(DataError, match="header only"):
        places_from_file(path)
    path.write_text("")
    with pytest.raises(DataError, match="cannot be read"):
        places_from_file(path)
    with pytest.raises(DataError, match="no file"):
        places_from_file(tmp_path / "absent.csv")


def test_parquet_predictions_and_the_cells_of_osv5m(tmp_path):
    frame = pd.DataFrame({"true_lat_deg": [1.5], "true_lon_deg": [-2.5], "pred_lat_deg": [9.0]})
    frame.to_parquet(tmp_path / "predictions.parquet")
    assert places_from_file(tmp_path / "predictions.parquet").tolist() == [[1.5, -2.5]]
    cells = tmp_path / "quadtree_10_1000.csv"
    cells.write_text(
        "cluster_id,min_lat,min_lon,max_lat,max_lon,mean_lat,mean_lon\n0,0,0,9,9,1,2\n"
    )
    assert places_from_file(cells).tolist() == [[1.0, 2.0]]
    (tmp_path / "broken.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match="cannot be read as parquet"):
        places_from_file(tmp_path / "broken.parquet")


def test_another_column_is_read_as_text(tmp_path):
    path = tmp_path / "places.csv"
    path.write_text("id,latitude,longitude,cell\n1,1,2,007\n2,3,4,NA\n")
    places, cell = grouped_places_from_file(path, "cell")
    assert (places.tolist(), cell.tolist()) == ([[1.0, 2.0], [3.0, 4.0]], ["007", "NA"])
    with pytest.raises(DataError, match="no column 'quadtree'"):
        grouped_places_from_file(path, "quadtree")


def test_arrays_of_numpy(tmp_path):
    path = tmp_path / "places.npy"
    np.save(path, np.array([[1, 2], [3, 4]]))
    assert places_from_file(path).tolist() == [[1.0, 2.0], [3.0, 4.0]]
    for wrong in (np.zeros(4), np.zeros((3, 3)), np.array([["a", "b"]]), np.zeros((0, 2))):
        np.save(path, wrong)
        with pytest.raises(DataError, match="expected"):
            places_from_file(path)
    np.save(path, np.array([[1.0, np.nan]]))
    with pytest.raises(CoordinateError):
        places_from_file(path)
    path.write_bytes(b"nothing")
    with pytest.raises(DataError, match="cannot be read as an array"):
        places_from_file(path)
