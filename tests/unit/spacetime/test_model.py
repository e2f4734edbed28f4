from __future__ import annotations

import dataclasses
from functools import cache

import pytest
import torch

from geoloc.errors import ConfigError
from geoloc.geostatistics import LagBins, interval_coverage
from geoloc.spacetime import (
    FitSettings,
    ModelSettings,
    NetworkShape,
    Stations,
    fit_space_time,
    fit_structure,
    krige_series,
    mean_variogram,
)
from tests.unit.spacetime.worlds import plane

SETTINGS = ModelSettings(
    # too narrow for the field, so that structure is left for kriging
    shape=NetworkShape(hidden=(6,)),
    fit=FitSettings(epochs=30, batch=32, learning_rate=1e-2),
    members=2,
    residuals="steps",
    bins=LagBins.even(10, 50.0),
)


@cache
def halves():
    stations, signal = plane(places=360, scales_km=(25.0,))
    rows = torch.arange(360)
    return stations.at(rows[:240]), stations.at(rows[240:]), signal[240:]


@cache
def fitted(residuals):
    known, _, _ = halves()
    return fit_space_time(known, 2, dataclasses.replace(SETTINGS, residuals=residuals))


@pytest.mark.parametrize("residuals", ["steps", "coefficients"])
def test_kriged_residuals_bring_the_estimate_near_the_truth(residuals):
    _, asked, _ = halves()
    found = fitted(residuals).predict(asked.sites)
    network = (found.network - asked.values).abs().mean()
    assert float((found.values - asked.values).abs().mean()) < 0.5 * float(network)


def test_what_is_added_is_kriging_of_what_the_networks_leave():
    known, asked, _ = halves()
    model = fitted("steps")
    left = known.values - model.ensemble.series(known.sites).mean(dim=0)
    error = Stations(sites=known.sites, values=known.values - model.ensemble.held_out)
    structure = fit_structure(mean_variogram(error, SETTINGS.bins))
    added = krige_series(Stations(sites=known.sites, values=left), asked.sites, structure)
    found = model.predict(asked.sites)
    torch.testing.assert_close(found.values, found.network + added.value)


def test_coefficients_leave_out_what_the_bases_cannot_follow():
    _, asked, signal = halves()
    model = fitted("coefficients")
    found = model.predict(asked.sites)
    added = found.values - found.network
    basis = model.basis.pattern
    torch.testing.assert_close(added @ basis.T @ basis, added)
    steps = fitted("steps").predict(asked.sites)
    rmse = [float((each.values - signal).square().mean().sqrt()) for each in (found, steps)]
    assert rmse[0] < rmse[1]


@pytest.mark.parametrize("residuals", ["steps", "coefficients", "none"])
def test_intervals_hold_about_what_they_promise(residuals):
    _, asked, _ = halves()
    found = fitted(residuals).predict(asked.sites)
    covered = interval_coverage(found.values - asked.values, found.variance, 0.9)
    assert 0.83 < covered < 0.99
    inside = (found.values - asked.values).abs() <= found.half_width(0.9)
    assert float(inside.double().mean()) == pytest.approx(covered)


def test_without_kriging_the_networks_stand_alone():
    known, asked, _ = halves()
    model = fitted("none")
    found = model.predict(asked.sites)
    assert torch.equal(found.values, found.network)
    error = (known.values - model.ensemble.held_out).square().mean(dim=0)
    torch.testing.assert_close(found.variance, error.expand_as(found.variance))
    said = model.ensemble.series(asked.sites)
    torch.testing.assert_close(found.spread, said.std(dim=0))


def test_refuses_an_unknown_choice():
    known, _, _ = halves()
    with pytest.raises(ConfigError, match="residuals 'some'"):
        fit_space_time(known, 2, dataclasses.replace(SETTINGS, residuals="some"))


@pytest.mark.parametrize("residuals", ["steps", "coefficients", "none"])
def test_a_step_without_any_variation_is_known_and_spoils_no_other(residuals):
    # a dry day: every station measures 0, so that networks and kriging err by nothing at all
    known, asked, _ = halves()
    values = known.values[:100].clone()
    values[:, 7] = 0.0
    dry = Stations(sites=known.sites.at(torch.arange(100)), values=values)
    settings = dataclasses.replace(SETTINGS, residuals=residuals)
    found = fit_space_time(dry, 2, settings).predict(asked.sites)
    assert float(found.values[:, 7].abs().max()) < 1e-6
    assert float(found.variance[:, 7].max()) < 1e-9
    others = torch.arange(values.shape[1]) != 7
    error = (found.values - asked.values)[:, others]
    assert bool((found.variance[:, others] > 0).all())
    assert 0.8 < interval_coverage(error, found.variance[:, others], 0.9) < 0.995
