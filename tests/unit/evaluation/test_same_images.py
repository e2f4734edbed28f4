from __future__ import annotations

import numpy as np
import pytest

from geoloc.errors import DataError
from geoloc.evaluation import prediction_table, same_images

PLACES = [[10.0, 20.0], [30.0, 180.0], [-50.0, 60.0]]


def tables(make_table, change):
    first = make_table(PLACES, PLACES, country=["FR", None, "NA"])
    second = change(first.assign(pred_lat_deg=[1.0, 2.0, 3.0]))
    return {"one": prediction_table(first), "two": prediction_table(second)}


def test_rows_are_joined_by_key(make_table):
    told = same_images(tables(make_table, lambda frame: frame.iloc[[2, 0, 1]]))
    assert told["one"].key.tolist() == told["two"].key.tolist()
    assert told["two"].pred_deg[:, 0].tolist() == [1.0, 2.0, 3.0]
    np.testing.assert_array_equal(told["one"].true_deg, told["two"].true_deg)


def test_labels_of_either_serve_both(make_table):
    told = same_images(tables(make_table, lambda frame: frame.drop(columns="unique_country")))
    assert told["two"].label["country"].tolist() == ["FR", None, "NA"]


def test_half_a_turn_east_and_west_is_one_place(make_table):
    told = tables(make_table, lambda frame: frame.assign(true_lon_deg=[20.0, -180.0, 60.0]))
    assert len(same_images(told)["two"]) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.iloc[:2], r"1 keys of one are not in two, such as '1000000000000002'"),
        (
            lambda f: f.assign(key=["x", *f["key"][1:]]),
            r"1 keys of two are not in one.*'x'",
        ),
        (lambda f: f.assign(true_lat_deg=[10.0, 30.0, -50.1]), r"1 of 3 true places.*0000002'"),
        (lambda f: f.assign(unique_country=["FR", None, "ZA"]), r"country of 1 images.*'NA'.*'ZA'"),
    ],
)
def test_other_images_are_refused_and_named(make_table, change, message):
    with pytest.raises(DataError, match=message):
        same_images(tables(make_table, change))
