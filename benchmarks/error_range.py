"""What the effective range of errors is worth: simulated fields whose range is known.

Each line: 20 fields at 1,200 places on land, exponential covariance (chord) with a nugget of 0.4 of
the sill; how often the field is said to be structured, the median range found, and how often its
95 % interval holds the true one. Run: python benchmarks/error_range.py
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from geoloc.evaluation import error_fields
from geoloc.geostatistics import gaussian_field
from geoloc.places import Areas

FIELDS, PLACES, NUGGET = 20, 1200, 0.4


def covariance(scale_km: float) -> Callable[[torch.Tensor], torch.Tensor]:
    """Sill 1; with a scale of 0 there is nothing but the nugget."""

    def at(lag: torch.Tensor) -> torch.Tensor:
        chord = 2 * 6371.0 * torch.sin(lag / (2 * 6371.0))
        alike = torch.exp(-chord / scale_km) if scale_km else torch.zeros_like(lag)
        return torch.where(lag == 0, 1.0, (1 - NUGGET) * alike)

    return at


def main() -> None:
    """Print a line for each true range."""
    generator = np.random.default_rng(1)
    land = Areas.load().even_land_points(20_000)
    for scale_km in (0.0, 100.0, 300.0, 600.0):
        truth = scale_km * math.log((1 - NUGGET) / 0.05)
        found = []
        for seed in range(FIELDS):
            places = land[generator.choice(len(land), PLACES, replace=False)]
            noise = torch.Generator().manual_seed(seed)
            field = gaussian_field(places, covariance(scale_km), generator=noise)[0, :, 0].numpy()
            error_km = 10.0 ** (2.5 + 0.3 * field) - 1.0
            found.append(error_fields(places, error_km, block_km=500.0)[0])
        known = [each for each in found if each.effective_range_interval_km is not None]
        held = [a <= truth <= b for a, b in (e.effective_range_interval_km for e in known)]
        reach = [each.effective_range_km for each in known]
        print(
            f"true range {truth:6.0f} km: structured {sum(e.structured for e in found)}/{FIELDS}, "
            f"Moran p < 0.05 {sum(e.moran.p < 0.05 for e in found)}/{FIELDS}, range told "
            f"{len(known)}, median {np.median(reach) if reach else math.nan:.0f} km, "
            f"interval holds it {sum(held)}/{len(known)}",
            flush=True,
        )


if __name__ == "__main__":
    main()
