from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from geoloc.errors import CoordinateError, DataError
from geoloc.evaluation import (
    prediction_table,
    read_predictions,
    score_predictions,
    write_predictions,
)

PLACES = [[-22.5594, 17.0832], [48.8566, 2.3522]]


@pytest.fixture
def frame(make_table):
    return make_table(PLACES, PLACES, country=["NA", None])


def test_a_missing_column_is_named_with_those_there(frame):
    with pytest.raises(DataError, match=r"pred_lat_deg.*missing.*true_lat_deg"):
        prediction_table(frame.drop(columns="pred_lat_deg"))


@pytest.mark.parametrize("value", [float("nan"), 91.0, -90.5, float("inf"), "north", None])
@pytest.mark.parametrize("column", ["true_lat_deg", "pred_lat_deg"])
def test_an_impossible_place_is_named_by_row_and_key(frame, column, value):
    frame[column] = pd.Series([1.0, value], dtype=object)
    with pytest.raises(CoordinateError, match=r"row 1 \(key '1000000000000001'\)"):
        prediction_table(frame)


def test_repeated_or_absent_keys_are_refused(frame):
    with pytest.raises(DataError, match="'a' in row 1"):
        prediction_table(frame.assign(key=["a", "a"]))
    with pytest.raises(DataError, match="row 1 has no key"):
        prediction_table(frame.assign(key=["a", None]))
    with pytest.raises(DataError, match="row 0 has no key"):
        prediction_table(frame.assign(key=["", "b"]))
    with pytest.raises(DataError, match="lose digits"):
        prediction_table(frame.assign(key=[1.0, 2.0]))


def test_integer_keys_keep_all_their_digits(frame):
    big = 9_007_199_254_740_993
    assert prediction_table(frame.assign(key=[big, big + 1])).key.tolist() == [
        "9007199254740993",
        "9007199254740994",
    ]


def test_an_empty_table_is_refused(frame):
    with pytest.raises(DataError, match="no rows"):
        prediction_table(frame.iloc[:0])


def test_csv_keeps_ids_and_namibia_and_sees_empty_labels(tmp_path, frame):
    path = tmp_path / "predictions.csv"
    frame.assign(key=["0009007199254740993", "9007199254740994"]).to_csv(path, index=False)
    table = prediction_table(read_predictions(path))
    assert table.key.tolist() == ["0009007199254740993", "9007199254740994"]
    assert table.label["country"].tolist() == ["NA", None]
    np.testing.assert_array_equal(table.true_deg, PLACES)


def test_csv_with_an_empty_coordinate_is_refused(tmp_path, frame):
    path = tmp_path / "predictions.csv"
    frame.assign(pred_lon_deg=[1.0, np.nan]).to_csv(path, index=False)
    with pytest.raises(CoordinateError, match="row 1"):
        prediction_table(read_predictions(path))


def test_csv_and_parquet_score_alike(tmp_path, world):
    world.to_csv(tmp_path / "a.csv", index=False)
    write_predictions(world, tmp_path / "a.parquet")
    one, other = (
        score_predictions(read_predictions(tmp_path / name), "osv5m-official", resamples=0)
        for name in ("a.csv", "a.parquet")
    )
    assert one.metrics == pytest.approx(other.metrics, rel=1e-12)


def test_other_names_by_option(tmp_path, frame):
    path = tmp_path / "other.parquet"
    frame.rename(columns={"key": "id", "pred_lat_deg": "lat"}).to_parquet(path)
    names = {"key": "id", "pred_lat_deg": "lat"}
    assert list(prediction_table(read_predictions(path, names)).pred_deg[:, 0]) == [
        -22.5594,
        48.8566,
    ]
    with pytest.raises(DataError, match=r"other\.parquet.*'key'"):
        read_predictions(path)
    with pytest.raises(DataError, match=r"\['nope'\] are missing"):
        read_predictions(path, {**names, "true_lat_deg": "nope"})
    with pytest.raises(DataError, match="no such column of predictions"):
        read_predictions(path, {**names, "latitude": "lat"})


def test_a_column_given_by_option_wins_over_one_of_our_name(frame):
    frame["better"] = [1.0, 2.0]
    table = prediction_table(frame, columns={"pred_lat_deg": "better"})
    assert table.pred_deg[:, 0].tolist() == [1.0, 2.0]


@pytest.mark.parametrize("name", ["absent.csv", "broken.parquet", "table.xlsx", "empty.csv"])
def test_unreadable_files_are_one_clear_error(tmp_path, name):
    if name != "absent.csv":
        (tmp_path / name).write_bytes(b"" if name == "empty.csv" else b"not a table")
    with pytest.raises(DataError, match=name):
        read_predictions(tmp_path / name)


def test_writing_keeps_schema_lists_and_nulls(tmp_path, frame):
    frame["score"] = [0.9, 0.8]
    frame["top_lat_deg"] = [np.array([1.0, 2.0]), np.array([3.0, 4.0])]
    frame["note"] = ["x", "y"]
    path = tmp_path / "deep" / "predictions.parquet"
    write_predictions(frame, path)
    schema = pq.read_schema(path)
    assert str(schema.field("key").type) == "string"
    assert str(schema.field("top_lat_deg").type).startswith("list<")
    assert schema.metadata[b"geoloc_predictions_schema"] == b"1"
    back = read_predictions(path)
    assert back["top_lat_deg"][1].tolist() == [3.0, 4.0]
    assert back["unique_country"].isna().tolist() == [False, True]
    assert back["note"].tolist() == ["x", "y"]
    assert [child.name for child in path.parent.iterdir()] == ["predictions.parquet"]


def test_a_failed_write_leaves_the_old_file(tmp_path, frame):
    path = tmp_path / "predictions.parquet"
    write_predictions(frame, path)
    before = path.read_bytes()
    with pytest.raises(Exception, match=r"lat|convert"):
        write_predictions(frame.assign(true_lat_deg=["bad", "worse"]), path)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_rows_longer_than_the_header_are_refused_not_shifted(tmp_path: Path) -> None:
    table = tmp_path / "longer.csv"
    header = "key,true_lat_deg,true_lon_deg,pred_lat_deg,pred_lon_deg"
    table.write_text(f"{header}\n1,2,3,4,5,\n6,7,8,9,10,\n", encoding="utf-8")
    with pytest.raises(DataError, match="more cells than its header"):
        read_predictions(table)
