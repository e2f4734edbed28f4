from __future__ import annotations

import numpy as np
import pytest

from geoloc.evaluation.metrics import geoscore
from geoloc.evaluation.protocols import protocol_named
from geoloc.evaluation.strata import UNLABELLED, RowScores, StratumLabels, strata_table


def scores_of(distance_km, block=None, *, protocol="osv5m-clean", resamples=200):
    block = np.arange(len(distance_km)) % 20 if block is None else block
    distance_km = np.asarray(distance_km, dtype=np.float64)
    # One place a block, so far apart that each lies in a block of 500 km of its own.
    places = np.stack([-56.0 + 8.0 * (block % 14), -170.0 + 16.0 * (block // 14)], axis=1)
    return RowScores.under(
        protocol_named(protocol),
        distance_km,
        places.astype(np.float64),
        block_km=500.0,
        resamples=resamples,
        seed=0,
    )


def labels_of(code, *, ordered=False, names=("a", "b", "c")):
    return StratumLabels(
        by="x", source="s", names=names, code=np.asarray(code, np.int64), ordered=ordered
    )


def test_planted_strata_come_out_each_with_its_own_scores():
    generator = np.random.default_rng(0)
    code = generator.integers(0, 3, 3000)
    distance = np.array([10.0, 100.0, 1000.0])[code] * generator.uniform(0.9, 1.1, 3000)
    table = strata_table(scores_of(distance), labels_of(code, ordered=True))
    assert [row.name for row in table.rows] == ["a", "b", "c"]
    for number, row in enumerate(table.rows):
        mine = distance[code == number]
        assert row.count == len(mine)
        assert row.metrics["median_km"] == pytest.approx(np.median(mine))
        assert row.metrics["mean_km"] == pytest.approx(mine.mean())
        assert row.metrics["geoscore"] == pytest.approx(geoscore(mine).mean())
        assert row.metrics["Accuracy_25_km_radius"] == (1.0 if number == 0 else 0.0)
        assert row.metrics["Accuracy_200_km_radius"] == (0.0 if number == 2 else 1.0)
        assert row.blocks == 20
        assert not row.small
        low, high = row.intervals["geoscore"]
        assert low < row.metrics["geoscore"] < high


def test_small_strata_are_marked_and_shown_and_the_unlabelled_stand_last():
    code = np.array([0] * 60 + [1] * 49 + [2] * 70 + [-1] * 100)
    block = np.arange(279) % 20
    block[code == 2] = 3
    table = strata_table(scores_of(np.full(279, 5.0), block), labels_of(code))
    assert [(row.name, row.count, row.small) for row in table.rows] == [
        ("c", 70, True),
        ("a", 60, False),
        ("b", 49, True),
        (UNLABELLED, 100, False),
    ]
    assert table.rows[0].intervals == {}
    assert sum(row.count for row in table.rows) == 279
    assert table.to_json()["rows"][0]["small"] is True


def test_the_radius_counts_as_the_protocol_says():
    for protocol, share in (("osv5m-clean", 0.0), ("geoclip", 1.0)):
        row = scores_of(np.full(30, 25.0), protocol=protocol).stratum("x", np.arange(30))
        assert row.metrics["Accuracy_25_km_radius"] == share


def test_without_draws_there_are_no_intervals():
    row = scores_of(np.arange(60.0), resamples=0).stratum("x", np.arange(60))
    assert row.intervals == {}
    assert row.to_json()["count"] == 60
