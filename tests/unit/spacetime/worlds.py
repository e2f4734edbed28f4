"""Small worlds with a known answer."""

from __future__ import annotations

import torch

from geoloc.spacetime import Sites, Stations, simulate_field


def plane(places=160, steps=40, noise=0.05, seed=0, scales_km=(40.0,)):
    """Stations on a square of 100 km with two bases, and the field without noise."""
    drawn = simulate_field(
        places=places,
        steps=steps,
        bases=2,
        width_km=100.0,
        scales_km=scales_km,
        persistence=(0.5, 0.9),
        noise=noise,
        seed=seed,
    )
    sites = Sites(
        places=drawn.places_km, covariates=drawn.signal.new_empty((places, 0)), metric="euclidean"
    )
    return Stations(sites=sites, values=drawn.values), drawn.signal


def earth(places=40, steps=12, seed=0):
    """Stations on the Earth whose series follow latitude and altitude."""
    generator = torch.Generator().manual_seed(seed)
    draw = torch.rand((places, 3), generator=generator, dtype=torch.float64)
    latlon = torch.stack([30.0 + 20.0 * draw[:, 0], 40.0 * draw[:, 1]], dim=1)
    altitude = 1000.0 * draw[:, 2:]
    time = torch.linspace(0, 6, steps, dtype=torch.float64)
    values = torch.outer(latlon[:, 0] / 10.0, time.sin()) + altitude / 500.0 * time.cos()
    return Stations(sites=Sites(places=latlon, covariates=altitude), values=values)
