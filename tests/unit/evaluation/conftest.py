from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from geoloc.geodesy import sample_sphere
from geoloc.places import Gazetteer

# `softmax_worlds` is imported by name, in whatever mode pytest imports the tests.
sys.path.insert(0, str(Path(__file__).parent))

LEVELS = ("country", "region", "sub-region", "city")


def table_of(true, pred, **labels):
    true, pred = np.asarray(true, float), np.asarray(pred, float)
    frame = pd.DataFrame(
        {
            "key": [f"{1000000000000000 + row}" for row in range(len(true))],
            "true_lat_deg": true[:, 0],
            "true_lon_deg": true[:, 1],
            "pred_lat_deg": pred[:, 0],
            "pred_lon_deg": pred[:, 1],
        }
    )
    for name, values in labels.items():
        frame[f"unique_{name.replace('_', '-')}"] = pd.Series(values, dtype=object)
    return frame


@pytest.fixture
def make_table():
    return table_of


@pytest.fixture(scope="session")
def world():
    """500 labelled places with predictions some way off, all over the Earth."""
    generator = np.random.default_rng(7)
    gazetteer = Gazetteer.load()
    pick = generator.integers(len(gazetteer), size=500)
    true = np.asarray(gazetteer.latlon_deg)[pick] + generator.normal(0, 0.01, (500, 2))
    pred = sample_sphere(500, generator=generator)
    pred[:250] = true[:250] + generator.normal(0, 0.5, (250, 2))
    labels = gazetteer.levels(gazetteer.nearest(true, metric="sphere"))
    return table_of(true, pred, **{level.replace("-", "_"): labels[level] for level in LEVELS})
