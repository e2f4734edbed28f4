from __future__ import annotations

import pytest
import torch

from geoloc.errors import ConfigError
from geoloc.spacetime import FitSettings, NetworkShape, fit_ensemble, series_at
from tests.unit.spacetime.worlds import plane

SHAPE = NetworkShape(hidden=(24, 24))


def fitted(members=2, epochs=60, seed=0):
    stations, signal = plane()
    settings = FitSettings(epochs=epochs, batch=32, learning_rate=1e-2)
    ensemble = fit_ensemble(stations, 2, SHAPE, settings, members=members, seed=seed)
    return stations, signal, ensemble


def test_learns_the_field_and_the_mean_beats_the_members():
    known, _, ensemble = fitted(members=3)
    assert len(ensemble.members) == len(ensemble.diaries) == 3
    error = (ensemble.held_out - known.values).abs().mean()
    assert float(error) < 0.4 * float((known.values - known.values.mean(dim=0)).abs().mean())
    said = ensemble.series(known.sites)
    alone = (said - known.values).square().mean(dim=(1, 2))
    together = (said.mean(dim=0) - known.values).square().mean()
    assert float(together) < float(alone.mean())


def test_held_out_series_come_from_the_member_that_never_saw_them():
    known, _, ensemble = fitted(epochs=2)
    said = torch.stack([series_at(member, known.sites) for member in ensemble.members])
    matches = torch.stack([(each == ensemble.held_out).all(dim=1) for each in said])
    assert bool((matches.sum(dim=0) == 1).all())
    # a member's mean series is that of the stations it was fitted to
    assert matches.sum(dim=1).tolist() == [80, 80]
    for member, own in zip(ensemble.members, matches, strict=True):
        mean = known.values[~own].mean(dim=0)
        torch.testing.assert_close(member.mean.double(), mean, rtol=1e-5, atol=1e-6)


def test_refuses_too_few_members_or_stations():
    stations, _ = plane(places=10)
    for members in (1, 6):
        with pytest.raises(ConfigError, match="two members at least"):
            fit_ensemble(stations, 1, SHAPE, FitSettings(), members=members, seed=0)
