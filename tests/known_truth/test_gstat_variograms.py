"""Experimental variograms against R's gstat 2.1-0, on the meuse soil data (log zinc).

R: variogram(log(zinc) ~ 1, meuse), the same with cressie = TRUE, and with boundaries
c(100, 200, 400, 800, 1600); default cutoff (a third of the diagonal) and width (a fifteenth of it).
"""

import numpy as np
import pytest

from geoloc.geostatistics import Engine, LagBins, estimate_variogram

CUTOFF, WIDTH = 1596.6226159546213, 106.44150773030809
# count, mean lag (m), Matheron, Cressie-Hawkins
DEFAULT = np.array(
    [
        [57, 79.2924374558, 0.123447934906, 0.0989035403416],
        [299, 163.9736655589, 0.216218485297, 0.1788934869325],
        [419, 267.3648276703, 0.302785875595, 0.2535014030993],
        [457, 372.7354223908, 0.412144760382, 0.4046783300604],
        [547, 478.4766950471, 0.463412786178, 0.4691540195454],
        [533, 585.3405810954, 0.564693270655, 0.5829611172205],
        [574, 693.1452555425, 0.568968263208, 0.6186792659338],
        [564, 796.1836488513, 0.618676858688, 0.6581799417608],
        [589, 903.1464983003, 0.647147887486, 0.6649768142998],
        [543, 1011.2917733909, 0.691570488112, 0.7545144539407],
        [500, 1117.8623455182, 0.703398350536, 0.7604849935067],
        [477, 1221.3280987660, 0.603877036499, 0.6534533080944],
        [452, 1329.1640650698, 0.651715776235, 0.7036330201046],
        [457, 1437.2562032833, 0.566531778306, 0.6270250086719],
        [415, 1543.2024819997, 0.574822734068, 0.6150930556853],
    ]
)
BOUNDARIES = np.array(
    [
        [52, 77.0189781046, 0.129965935023],
        [263, 156.2337299397, 0.209115447021],
        [811, 304.6997245628, 0.341996394155],
        [2068, 605.9349980890, 0.536379057671],
        [3698, 1175.3035639999, 0.638942751995],
    ]
)
BINS = LagBins(edges=np.arange(16) * WIDTH, unit="m")


@pytest.mark.parametrize("backend", ["torch", "numba"])
@pytest.mark.parametrize(("estimator", "column"), [("matheron", 2), ("cressie", 3)])
def test_default_classes(meuse, backend, estimator, column):
    places, values = meuse
    found = estimate_variogram(
        places,
        values,
        bins=BINS,
        metric="euclidean",
        estimator=estimator,
        engine=Engine(backend=backend),
    )
    np.testing.assert_array_equal(found.pair_count, DEFAULT[:, 0])
    np.testing.assert_allclose(found.lag, DEFAULT[:, 1], rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(found.semivariance, DEFAULT[:, column], rtol=1e-9)


def test_given_boundaries(meuse):
    bins = LagBins(edges=(0, 100, 200, 400, 800, 1600), unit="m")
    found = estimate_variogram(*meuse, bins=bins, metric="euclidean")
    np.testing.assert_array_equal(found.pair_count, BOUNDARIES[:, 0])
    np.testing.assert_allclose(found.lag, BOUNDARIES[:, 1], rtol=1e-11)
    np.testing.assert_allclose(found.semivariance, BOUNDARIES[:, 2], rtol=1e-9)
    assert found.beyond_count == 155 * 154 // 2 - BOUNDARIES[:, 0].sum()


def test_the_trace_is_the_sum_of_single_curves(meuse):
    places, values = meuse
    generator = np.random.default_rng(0)
    several = np.stack([values, 3 * values**2 - 7, generator.normal(size=155)], axis=1)
    trace = estimate_variogram(
        places, several, bins=BINS, metric="euclidean", dissimilarity="squared"
    )
    single = [estimate_variogram(places, v, bins=BINS, metric="euclidean") for v in several.T]
    total = sum(each.semivariance for each in single)
    np.testing.assert_allclose(trace.semivariance, total, rtol=1e-9)


def test_dowd_is_the_median(meuse):
    places, values = meuse
    found = estimate_variogram(places, values, bins=BINS, metric="euclidean", estimator="median")
    difference = places[:, None] - places
    lag = np.sqrt((difference**2).sum(axis=2))[np.triu_indices(155, 1)]
    half = (np.subtract.outer(values, values) ** 2 / 2)[np.triu_indices(155, 1)]
    for k in range(15):
        inside = (lag > BINS.lower[k]) & (lag <= BINS.upper[k])
        assert found.semivariance[k] == pytest.approx(2.19811 * np.median(half[inside]), rel=1e-5)
