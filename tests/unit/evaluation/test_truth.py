from __future__ import annotations

import pandas as pd
import pytest

from geoloc.errors import DataError
from geoloc.evaluation import prediction_table, read_truth, score_table, with_truth
from geoloc.geodesy import great_circle_km


@pytest.fixture
def truth():
    return pd.DataFrame(
        {
            "key": ["a", "b", "c"],
            "true_lat_deg": [48.85, -22.56, 10.0],
            "true_lon_deg": [2.35, 17.08, 170.0],
            "unique_country": ["FR", "NA", None],
        }
    )


def answers(*keys):
    lat = [48.0 + row for row in range(len(keys))]
    return pd.DataFrame({"key": keys, "pred_lat_deg": lat, "pred_lon_deg": [2.0] * len(keys)})


def test_answers_meet_their_truth_whatever_their_order(truth):
    frame, unmatched = with_truth(answers("c", "a", "b"), truth)
    assert frame["key"].tolist() == ["a", "b", "c"]
    assert frame["pred_lat_deg"].tolist() == [49.0, 50.0, 48.0]
    assert frame["unique_country"].tolist()[:2] == ["FR", "NA"]
    assert (unmatched.missing, unmatched.extra) == (0, 0)


def test_a_true_place_in_the_answers_is_not_believed(truth):
    lying = answers("a", "b", "c").assign(true_lat_deg=0.0, true_lon_deg=0.0)
    frame, _ = with_truth(lying, truth)
    assert frame["true_lat_deg"].tolist() == [48.85, -22.56, 10.0]


def test_what_does_not_match_is_refused_with_counts_and_a_key(truth):
    with pytest.raises(DataError, match=r"2 of 3 true places have no prediction, first key 'b'"):
        with_truth(answers("a"), truth)
    with pytest.raises(DataError, match=r"1 of 4 predictions have no true place, first key 'x'"):
        with_truth(answers("a", "b", "c", "x"), truth)


def test_missing_as_worst_is_wrong_everywhere_and_counted(truth):
    frame, unmatched = with_truth(answers("a", "x", "y"), truth, missing_as_worst=True)
    assert (unmatched.missing, unmatched.extra) == (2, 2)
    table = prediction_table(frame)
    assert great_circle_km(table.true_deg[1:], table.pred_deg[1:]).min() > 20_015
    (scores,) = score_table(table, ["osv5m-official"], resamples=0)
    assert scores.metrics["Accuracy_2500_km_radius"] == pytest.approx(1 / 3)
    assert scores.metrics["Accuracy_country"] == pytest.approx(1 / 3)


def test_an_answer_without_a_place_is_missing_only_where_that_is_allowed(truth):
    frame = answers("a", "b", "c")
    frame.loc[1, ["pred_lat_deg", "pred_lon_deg"]] = float("nan")
    assert with_truth(frame, truth, missing_as_worst=True)[1].missing == 1
    with pytest.raises(Exception, match=r"key 'b'"):
        prediction_table(with_truth(frame, truth)[0])


def test_the_test_table_of_osv5m_is_known(tmp_path):
    file = tmp_path / "test.csv"
    file.write_text(
        "id,latitude,longitude,unique_country,unique_city\n0009007199254740993,-22.5,17.0,NA,\n",
        encoding="utf-8",
    )
    read = read_truth(file)
    assert read["key"].tolist() == ["0009007199254740993"]
    assert read["unique_country"].tolist() == ["NA"]
    with pytest.raises(DataError, match="nowhere"):
        read_truth(file, {"key": "nowhere"})
