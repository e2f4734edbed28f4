"""Parameters of known fields come back: exact draws from GSTools' covariance, pooled over fields.

The fitted range of one field is heavy-tailed, so 80 fields are pooled; each field is a group of its
own, so that the jackknife deletes independent fields. GSTools' random-mode simulator is wrong on
the sphere for some models: fields are drawn by the Cholesky factor of its covariance.
"""

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

from geoloc.geodesy import EARTH_RADIUS_KM
from geoloc.geostatistics import (
    LagBins,
    VariogramAccumulator,
    fit_replicates,
    fit_variogram,
    gaussian_field,
)
from geoloc.geostatistics.sums import COUNT

gstools = pytest.importorskip("gstools")

FIELDS = 80
MODELS = {
    "exponential": (gstools.Exponential, {"len_scale": 500.0}),
    "spherical": (gstools.Spherical, {"len_scale": 1500.0}),
    "gaussian": (gstools.Gaussian, {"len_scale": 900.0}),
    "stable": (gstools.Stable, {"len_scale": 700.0, "alpha": 1.3}),
    "matern": (gstools.Matern, {"len_scale": 500.0, "nu": 1.5}),
}


def places_in_towns(count):
    """Clustered: towns all over the Earth, samples some kilometres around them."""
    generator = np.random.default_rng(11)
    height = generator.uniform(-0.95, 0.95, size=300)
    towns = np.stack([np.degrees(np.arcsin(height)), generator.uniform(-179, 179, 300)], axis=1)
    chosen = towns[generator.integers(300, size=count)]
    return chosen + 10.0 ** generator.uniform(-2.5, 0.3, size=(count, 1)) * (
        generator.uniform(-0.5, 0.5, size=(count, 2))
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("weights", ["n/gamma2", "jackknife"])
def test_sill_range_and_nugget_come_back(name, weights):
    kind, shape = MODELS[name]
    truth = kind(latlon=True, var=1.6, nugget=0.4, geo_scale=EARTH_RADIUS_KM, **shape)

    def covariance(lag):
        structured = truth.cov_yadrenko(lag.numpy())
        return torch.from_numpy(np.where(lag.numpy() == 0, 2.0, structured))

    places = places_in_towns(1000)
    fields = gaussian_field(
        places, covariance, generator=torch.Generator().manual_seed(3), fields=FIELDS
    )[:, :, 0]
    bins = LagBins.logarithmic(30, 1.0, 12_000.0)
    sums = VariogramAccumulator(bins, dissimilarity="squared", group_count=FIELDS)
    for number, field in enumerate(fields):
        sums.add(places, field.numpy(), groups=np.full(1000, number))
    assert float(sums.moments[0, 1, :, COUNT].sum()) == 0
    variogram = sums.variogram(feature_dim=1)
    fit = fit_replicates(variogram, fit_variogram(variogram, name, weights=weights))
    effective_range = brentq(lambda h: truth.vario_yadrenko(h) - 0.95 * 2.0, 10.0, 9000.0)
    assert fit.sill == pytest.approx(2.0, rel=0.1)
    assert fit.effective_range == pytest.approx(effective_range, rel=0.1)
    assert abs(fit.nugget - 0.4) < 0.05 * 2.0
    for parameter, known in (("sill", 2.0), ("effective_range", effective_range)):
        low, high = fit.interval(parameter)
        assert low < known < high
        assert high / low < 1.5
    assert fit.flags == ()
