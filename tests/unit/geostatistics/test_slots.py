import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geoloc.geostatistics.lags import LagBins
from geoloc.geostatistics.separation import Separation
from geoloc.geostatistics.slots import SlotLookup, SlotTable


def check(bins, metric, extra=()):
    separation = Separation.of(bins, metric)
    table = SlotTable.of(bins, separation)
    edge = table.threshold[:-1]
    values = np.concatenate(
        [
            [0.0, 1e-300, 1e-30, 4.0],
            edge,
            np.nextafter(edge, np.inf),
            np.nextafter(edge, 0.0),
            10.0 ** np.random.default_rng(0).uniform(-26, 3, 5000),
            np.array(extra, dtype=np.float64),
        ]
    )
    found = SlotLookup(table, torch.device("cpu"))(torch.from_numpy(values)).numpy()
    np.testing.assert_array_equal(found, np.searchsorted(table.threshold, values, side="left"))
    return table


@pytest.mark.parametrize(
    ("bins", "metric"),
    [
        (LagBins.logarithmic(48, 0.1, 20_015.0), "great_circle"),
        (LagBins.even(700, 20_015.0), "great_circle"),
        (LagBins(edges=(5.0, 30_000.0, 40_000.0)), "great_circle"),
        (LagBins(edges=(0.0, 5.0)), "great_circle"),
        (LagBins.even(16, 5.0, unit="pixel"), "euclidean"),
        (LagBins(edges=(0, 1, 1 + 1e-9, 1 + 2e-9, 1 + 3e-9, 2), unit="pixel"), "euclidean"),
    ],
)
def test_arithmetic_equals_a_binary_search(bins, metric):
    check(bins, metric)


@given(
    st.lists(st.floats(1e-6, 19_000.0), min_size=2, max_size=40, unique=True),
    st.lists(st.floats(0.0, 5.0), max_size=30),
)
def test_any_edges_any_values(edges, values):
    check(LagBins(edges=sorted(edges)), "great_circle", values)


def test_classes_hold_their_upper_edge():
    bins = LagBins(edges=(0.0, 1.0, 2.0, 3.0), unit="pixel")
    table = SlotTable.of(bins, Separation.of(bins, "euclidean"))
    lags = torch.tensor([0.0, 1e-9, 1.0, 1.0 + 1e-12, 2.0, 3.0, 3.1], dtype=torch.float64)
    slot = SlotLookup(table, torch.device("cpu"))(lags.square())
    # 0 is coincident, 1 below the first edge (empty from 0 on), 2 to 4 the classes, 5 beyond
    assert slot.tolist() == [0, 2, 2, 3, 3, 4, 5]


def test_the_table_stays_small():
    assert len(check(LagBins.logarithmic(60, 1e-3, 20_015.0), "great_circle").first_slot) < 2000
