from __future__ import annotations

import numpy as np
import pytest

from geoloc.errors import DataError
from geoloc.geostatistics import (
    KrigingMethod,
    estimate_variogram,
    fit_variogram,
    given_variogram,
    krige_by_step,
    leave_one_out_by_step,
    pooled_variogram,
)

PLANE = given_variogram(
    "exponential", nugget=0.1, partial_sill=2.0, scale=5.0, unit="m", lag_metric="euclidean"
)


def measured() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    places, value = generator.uniform(0, 20, (12, 2)), generator.normal(size=(12, 4))
    value[3:5, 1], value[2:, 3] = np.nan, np.nan
    return places, value


@pytest.mark.parametrize("neighbours", [None, 4])
def test_steps_are_left_out_from_those_that_measured_with_them(neighbours: int | None) -> None:
    places, value = measured()
    method = KrigingMethod(fit=PLANE, mean=0.5, neighbours=neighbours)
    found = leave_one_out_by_step(places, value, method)
    for step in range(3):
        for row in np.flatnonzero(np.isfinite(value[:, step])):
            others = np.isfinite(value[:, step]) & (np.arange(12) != row)
            alone = method.kriged(places[others], value[others, step], places[row : row + 1])
            assert found.value[row, step] == pytest.approx(float(alone.value[0]), abs=1e-10)
            assert found.variance[row, step] == pytest.approx(float(alone.variance[0]), rel=1e-9)
    assert np.isnan(found.value[3:5, 1]).all()
    assert np.isnan(found.value[:, 3]).all()
    assert found.data.tolist() == ([4, 4, 4, 0] if neighbours else [11, 9, 11, 0])


def test_estimates_say_how_many_values_they_are_from() -> None:
    places, value = measured()
    target = np.array([[10.0, 10.0]])
    assert krige_by_step(places, value, target, KrigingMethod(fit=PLANE)).data.tolist() == [
        *(12, 10, 12, 0)
    ]
    few = krige_by_step(places, value, target, KrigingMethod(fit=PLANE, neighbours=11), fewest=1)
    assert few.data.tolist() == [11, 10, 11, 2]
    assert np.isfinite(few.value).all()


def test_the_variogram_of_the_plane_is_that_of_the_estimator_and_has_no_class_of_few_pairs() -> (
    None
):
    places, value = measured()
    pooled = pooled_variogram(
        places, value[:, :1], classes=9, max_lag=30.0, metric="euclidean", unit="m"
    )
    same = estimate_variogram(places, value[:, 0], bins=pooled.bins, metric="euclidean")
    assert pooled.semivariance == pytest.approx(same.semivariance, rel=1e-9)
    assert (len(pooled.bins), pooled.unit) == (3, "m")
    assert fit_variogram(pooled, "exponential").metric == "euclidean"
    # half of the greatest lag, where none is named
    limit = pooled_variogram(places, value, classes=9, metric="euclidean", unit="m").bins.edges[-1]
    greatest = float(np.linalg.norm(places[:, None] - places[None], axis=2).max())
    assert 0.4 * greatest < limit <= 0.5 * greatest


def test_infinite_values_are_refused_and_not_taken_for_missing() -> None:
    places, value = measured()
    value[0, 0] = np.inf
    with pytest.raises(DataError, match="infinite"):
        krige_by_step(places, value, places[:1], KrigingMethod(fit=PLANE))


def test_values_that_do_not_vary_are_told_so() -> None:
    places, _ = measured()
    for value in (np.full((12, 1), 5.0), np.tile([1.0, 2.0], (12, 1))):
        with pytest.raises(DataError, match="all values are equal"):
            pooled_variogram(places, value, classes=3, metric="euclidean", unit="m")
    alternating = np.where(np.eye(12) > 0, np.arange(12.0), np.nan)
    with pytest.raises(DataError, match="measured at one time"):
        pooled_variogram(places, alternating, classes=3, metric="euclidean", unit="m")
