"""Experimental variograms on the sphere against GSTools, which computes them another way."""

import numpy as np
import pytest

from geoloc.geodesy import EARTH_RADIUS_KM
from geoloc.geostatistics import LagBins, estimate_variogram

gstools = pytest.importorskip("gstools")


@pytest.mark.parametrize("estimator", ["matheron", "cressie"])
@pytest.mark.parametrize("kind", ["clustered", "world"])
def test_equal_bin_for_bin(clustered_places, estimator, kind):
    if kind == "clustered":
        places = clustered_places(400, seed=4)
    else:
        places = np.random.default_rng(3).uniform((-90, -180), (90, 180), (400, 2))
    values = np.random.default_rng(5).normal(size=400) + np.sin(np.radians(places[:, 1]))
    edges = np.array([0.001, 1.0, 10.0, 100.0, 500.0, 2000.0, 6000.0, 12_000.0, 20_015.0])
    # GSTools divides the edges in place
    _, expected, count = gstools.vario_estimate(
        (places[:, 0], places[:, 1]),
        values,
        edges.copy(),
        latlon=True,
        geo_scale=EARTH_RADIUS_KM,
        estimator=estimator,
        return_counts=True,
    )
    found = estimate_variogram(places, values, bins=LagBins(edges=edges), estimator=estimator)
    assert len(found) > 5
    np.testing.assert_array_equal(found.pair_count, count[found.bin])
    # its divisor for Cressie has the further term 0.045 / n squared
    tolerance = 1e-9 if estimator == "matheron" else 0.1 / found.pair_count**2 + 1e-6
    assert (np.abs(found.semivariance / expected[found.bin] - 1) < tolerance).all()


def test_the_trace_of_several_fields(clustered_places):
    places = clustered_places(200, seed=6)
    values = np.random.default_rng(7).normal(size=(200, 4))
    edges = np.linspace(1.0, 20_000.0, 8)
    _, mean = gstools.vario_estimate(
        (places[:, 0], places[:, 1]),
        list(values.T),
        edges.copy(),
        latlon=True,
        geo_scale=EARTH_RADIUS_KM,
    )
    found = estimate_variogram(places, values, bins=LagBins(edges=edges), dissimilarity="squared")
    np.testing.assert_allclose(found.semivariance, 4 * mean, rtol=1e-9)
