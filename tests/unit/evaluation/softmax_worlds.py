"""Worlds whose model is known to be right: the truth is drawn from its own softmax."""

from __future__ import annotations

import numpy as np
import torch

from geoloc.evaluation.answered import AnsweredSplit
from geoloc.geodesy import fibonacci_sphere, great_circle_km, normalize_latlon, unit_vectors


def unit_rows(count: int, width: int, *, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(count, width, generator=generator)
    return torch.nn.functional.normalize(rows, dim=1)


def softmax_world(
    queries: int, places: int, *, scale: float, seed: int = 0, jitter_deg: float = 0.0
) -> AnsweredSplit:
    """Queries near a direction on Earth; each true place is drawn by softmax(scale * cosine)."""
    generator = np.random.default_rng(seed)
    places_deg = fibonacci_sphere(places)
    place = torch.from_numpy(unit_vectors(places_deg)).float()
    # A fourth number beside the direction: how sure a query can be differs from one to another.
    place = torch.cat([place, torch.zeros(places, 1)], dim=1)
    query = unit_rows(queries, 4, seed=seed)
    query = torch.nn.functional.normalize(query * torch.tensor([1.0, 1.0, 1.0, 1.5]), dim=1)
    logits = scale * (query.double() @ place.double().T)
    shares = torch.softmax(logits, dim=1).numpy()
    drawn = np.array([generator.choice(places, p=row / row.sum()) for row in shares])
    true_deg = normalize_latlon(
        places_deg[drawn] + generator.uniform(-jitter_deg, jitter_deg, (queries, 2))
    )
    return AnsweredSplit(
        query=query,
        place=place,
        gallery_deg=places_deg,
        true_deg=true_deg,
        nearest_deg=places_deg[drawn],
        answer_deg=places_deg[logits.argmax(dim=1).numpy()],
    )


def naive_masses(split: AnsweredSplit, centre_deg, scale, edges_km):
    """Ring by ring and place by place."""
    masses = np.zeros((len(split), len(edges_km) + 1))
    for row in range(len(split)):
        cosine = split.place.double() @ split.query[row].double()
        share = torch.softmax(scale * cosine, dim=0).numpy()
        away_km = great_circle_km(centre_deg[row][None], split.gallery_deg)
        for d, mass in zip(away_km, share, strict=True):
            masses[row, sum(d > edge for edge in edges_km)] += mass
    return masses
