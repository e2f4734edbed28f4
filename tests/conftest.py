"""Settings of the whole suite, and what tests of several rooms share."""

import csv
import importlib.util
import math
import os
import resource
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings

from geoloc.geodesy import great_circle_km, sample_sphere

torch.set_num_threads(1)
settings.register_profile(
    "geoloc", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("geoloc")


def naive_variogram(places, values, edges, dissimilarity, metric="great_circle"):
    """Rows (count, mean lag, mean, mean square, mean fourth root) by class, and the coincident."""
    rows = [[] for _ in range(len(edges) - 1)]
    coincident = 0
    for i in range(len(values)):
        for j in range(i):
            if metric == "great_circle":
                lag = float(great_circle_km(places[i], places[j]))
            else:
                lag = math.dist(np.atleast_1d(places[i]), np.atleast_1d(places[j]))
            if lag < 1e-9:
                coincident += 1
                continue
            a, b = (np.atleast_1d(values[k]).astype(np.float64) for k in (i, j))
            square = float(((a - b) ** 2).sum())
            value = {
                "squared": square / 2,
                "absolute": math.sqrt(square) / 2,
                "cosine": 1 - float(a @ b) / max(float(np.sqrt((a @ a) * (b @ b))), 1e-300),
            }[dissimilarity]
            for k in range(len(edges) - 1):
                if edges[k] < lag <= edges[k + 1]:
                    rows[k].append((1.0, lag, value, value**2, max(value, 0.0) ** 0.25))
    sums = np.array([np.sum(row, axis=0) if row else np.zeros(5) for row in rows])
    return sums, coincident


@contextmanager
def limited_files(size):
    """Writing past `size` bytes fails as on a full disk (Python ignores the signal)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(scope="session")
def files_limited_to():
    return limited_files


@pytest.fixture(scope="session")
def naive():
    return naive_variogram


@pytest.fixture(scope="session")
def clustered_places():
    """Towns on the sphere: some samples stand within metres of one another, some at one place."""

    def make(count, seed=0):
        generator = np.random.default_rng(seed)
        towns = sample_sphere(max(3, count // 12), generator=generator)
        towns[:, 0] *= 0.9
        chosen = towns[generator.integers(len(towns), size=count)]
        spread = 10.0 ** generator.uniform(-5, 0.5, size=(count, 1))
        places = chosen + spread * generator.normal(size=(count, 2))
        places[:, 0] = np.clip(places[:, 0], -90, 90)
        places[:, 1] = (places[:, 1] + 180) % 360 - 180
        places[count // 2] = places[count // 3]
        return places

    return make


@pytest.fixture(scope="session")
def meuse():
    """Coordinates in metres and log zinc of 155 soil samples, as scikit-gstat ships them."""
    found = importlib.util.find_spec("skgstat")
    assert found is not None, "pip install --no-deps scikit-gstat"
    assert found.origin is not None
    path = Path(found.origin).parent / "data" / "samples" / "meuse.txt"
    with path.open() as stream:
        rows = list(csv.DictReader(stream))
    places = np.array([[float(row["x"]), float(row["y"])] for row in rows])
    return places, np.log([float(row["zinc"]) for row in rows])
