import numpy as np
import pytest

from geoloc.errors import DataError
from geoloc.geostatistics import LagBins, cross_variogram, estimate_variogram

BINS = LagBins.even(4, 40.0, unit="pixel")


@pytest.fixture(scope="module")
def fields():
    generator = np.random.default_rng(0)
    places = generator.uniform(0, 60, size=(150, 2))
    one = np.sin(places / 9.0) + 0.1 * generator.normal(size=(150, 2))
    other = 0.5 * one + 0.3 * generator.normal(size=(150, 2))
    return places, one, other


def test_against_a_naive_loop(fields):
    places, one, other = fields
    found = cross_variogram(places, one, other, bins=BINS, metric="euclidean")
    sums, count = np.zeros(4), np.zeros(4)
    for i in range(150):
        for j in range(i):
            k = int(np.ceil(np.linalg.norm(places[i] - places[j]) / 10.0)) - 1
            if k < 4:
                sums[k] += (one[i] - one[j]) @ (other[i] - other[j]) / 2
                count[k] += 1
    np.testing.assert_array_equal(found.pair_count, count)
    np.testing.assert_allclose(found.semivariance, sums / count, rtol=1e-9)
    assert np.isfinite(found.standard_error).all()
    assert found.dissimilarity == "cross"


def test_with_itself_it_is_the_variogram_and_it_is_symmetric(fields):
    places, one, other = fields
    kind = {"bins": BINS, "metric": "euclidean"}
    own = cross_variogram(places, one, one, **kind)
    plain = estimate_variogram(places, one, dissimilarity="squared", **kind)
    np.testing.assert_allclose(own.semivariance, plain.semivariance, rtol=1e-9)
    np.testing.assert_allclose(own.standard_error, plain.standard_error, rtol=1e-6)
    np.testing.assert_allclose(
        cross_variogram(places, one, other, **kind).semivariance,
        cross_variogram(places, other, one, **kind).semivariance,
        rtol=1e-9,
    )
    opposed = cross_variogram(places, one[:, 0], -one[:, 0], **kind)
    assert (opposed.semivariance < 0).all()


def test_variables_must_match(fields):
    places, one, other = fields
    with pytest.raises(DataError, match="shapes"):
        cross_variogram(places, one, other[:, :1], bins=BINS, metric="euclidean")
