from __future__ import annotations

import torch

from geoloc.spacetime import FitSettings, NetworkShape, Stations, fit_plain, plain_series
from tests.unit.spacetime.worlds import earth

SHAPE = NetworkShape(hidden=(16, 16))


def test_learns_a_trend_in_place_and_time():
    stations = earth(places=60, steps=10)
    time = torch.linspace(0, 1, 10, dtype=torch.float64)
    values = stations.sites.places[:, :1] / 10.0 + 3.0 * time
    known = Stations(sites=stations.sites, values=values)
    rows = torch.arange(60)
    settings = FitSettings(epochs=60, batch=20, learning_rate=1e-2)
    network, diary = fit_plain(
        known.at(rows[:40]), known.at(rows[40:50]), shape=SHAPE, settings=settings, rows=64, seed=0
    )
    found = plain_series(network, known.sites.at(rows[50:]))
    assert float((found - values[50:]).abs().mean()) < 0.1 * float(values.std())
    assert diary.steps == 60 * 2


def test_series_are_what_single_values_are():
    known = earth(places=12, steps=7)
    network, _ = fit_plain(
        known, known, shape=SHAPE, settings=FitSettings(epochs=2, batch=6), rows=16, seed=0
    )
    whole = plain_series(network, known.sites)
    with torch.no_grad():
        for step in range(7):
            alone = network(network.reader.read(known.sites), torch.full((12,), step))
            torch.testing.assert_close(whole[:, step], alone.double(), rtol=1e-5, atol=1e-5)
