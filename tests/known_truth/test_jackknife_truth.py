"""Jackknife errors against the true spread of the estimate over many simulated fields."""

import numpy as np
import torch

from geoloc.geodesy import EARTH_RADIUS_KM, sample_sphere
from geoloc.geostatistics import LagBins, estimate_variogram, gaussian_field

BINS = LagBins(edges=(0, 300, 600, 1000, 1500, 2500, 4000, 6000, 9000, 13_000, 20_016))


def exponential_on_chords(lag):
    return torch.exp(-2 * EARTH_RADIUS_KM * torch.sin(lag / 2 / EARTH_RADIUS_KM) / 200.0)


def test_errors_are_the_true_ones():
    places = sample_sphere(900, generator=np.random.default_rng(0))
    fields = gaussian_field(
        places, exponential_on_chords, generator=torch.Generator().manual_seed(5), fields=400
    )[:, :, 0].numpy()
    found = [estimate_variogram(places, field, bins=BINS) for field in fields]
    true = np.std([each.semivariance for each in found], axis=0)
    told = np.sqrt(np.mean([each.standard_error**2 for each in found], axis=0))
    # the true spread itself is known to 4 % from 400 fields
    assert (np.abs(told / true - 1) < 0.1).all()
    # dependence is what it is about: pairs taken for independent would be far off
    naive = np.mean([each.spread / np.sqrt(each.pair_count) for each in found], axis=0)
    assert (naive[-5:] < 0.2 * true[-5:]).all()
