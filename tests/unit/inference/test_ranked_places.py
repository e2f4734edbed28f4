from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geoloc.geodesy import great_circle_km, unit_vectors
from geoloc.inference.continuous import Decoded
from geoloc.inference.gallery_posterior import GalleryPosterior
from geoloc.inference.ranked_places import RankedPlaces, rank_places


def posterior_of(*probability: list[float]) -> GalleryPosterior:
    share = torch.tensor(probability, dtype=torch.float32)
    return GalleryPosterior(score=share * 2, probability=share)


def ranked(
    posterior: GalleryPosterior, places_deg: np.ndarray, top_k: int, apart_km: float, moved=None
) -> list[RankedPlaces]:
    return rank_places(
        posterior.by_probability,
        posterior,
        places_deg,
        unit=unit_vectors(places_deg),
        top_k=top_k,
        apart_km=apart_km,
        moved=moved,
    )


# One street with three places of the gallery, a town 20 km away, another country.
STREET = np.array([[48.85, 2.35], [48.8501, 2.35], [48.8502, 2.35], [49.03, 2.35], [52.0, 13.0]])
SHARES = [0.3, 0.25, 0.2, 0.15, 0.1]


def test_three_places_of_one_street_are_one_answer_with_their_mass() -> None:
    (told,) = ranked(posterior_of(SHARES), STREET, 3, 5.0)
    assert told.index.tolist() == [0, 3, 4]
    assert told.probability.tolist() == pytest.approx([0.75, 0.15, 0.1])
    assert told.score.tolist() == pytest.approx([0.6, 0.3, 0.2])
    (wide,) = ranked(posterior_of(SHARES), STREET, 3, 25.0)
    assert wide.index.tolist() == [0, 4]
    assert wide.probability.tolist() == pytest.approx([0.9, 0.1])
    (plain,) = ranked(posterior_of(SHARES), STREET, 3, 0.0)
    assert plain.index.tolist() == [0, 1, 2]
    assert plain.probability.tolist() == pytest.approx(SHARES[:3])


def test_a_moved_place_stands_for_the_hit_that_it_was_found_from() -> None:
    moved = Decoded(
        latlon_deg=torch.tensor([[49.02, 2.35]], dtype=torch.float64),
        score=torch.tensor([0.9], dtype=torch.float64),
    )
    (told,) = ranked(posterior_of(SHARES), STREET, 3, 5.0, moved)
    # The town lies within 5 km of where the first place has moved to: it is no second answer.
    assert told.index.tolist() == [0, 4]
    assert told.latlon_deg.tolist() == [[49.02, 2.35], [52.0, 13.0]]
    assert told.score.tolist() == pytest.approx([0.9, 0.2])
    assert told.probability.tolist() == pytest.approx([0.9, 0.1])
    assert STREET[0].tolist() == [48.85, 2.35]


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    count=st.integers(1, 60),
    top_k=st.integers(1, 8),
    apart_km=st.sampled_from([0.0, 50.0, 900.0, 6000.0, 25_000.0]),
)
def test_places_lie_apart_and_each_gallery_place_counts_once(
    seed: int, count: int, top_k: int, apart_km: float
) -> None:
    generator = np.random.default_rng(seed)
    places_deg = generator.uniform((-90, -180), (90, 180), (count, 2))
    share = generator.dirichlet(np.full(count, 0.3), 2)
    for told, one in zip(
        ranked(posterior_of(*share.tolist()), places_deg, top_k, apart_km), share, strict=True
    ):
        naive: list[int] = []
        for row in np.argsort(-one.astype(np.float32), kind="stable"):
            near = [great_circle_km(places_deg[row], places_deg[other]) for other in naive]
            if len(naive) < top_k and all(km > apart_km for km in near):
                naive.append(int(row))
        assert told.index.tolist() == naive
        mass = np.zeros(len(naive))
        for row in range(count):
            for rank, best in enumerate(naive):
                inside = great_circle_km(places_deg[row], places_deg[best]) <= apart_km
                if row == best or (inside and apart_km > 0):
                    mass[rank] += one[row]
                    break
        assert told.probability == pytest.approx(mass, abs=1e-5)


def test_the_search_goes_deeper_until_enough_places_lie_apart() -> None:
    # A thousand places of one town score best, and one far away scores least.
    town = np.random.default_rng(0).normal((10.0, 10.0), 0.01, (1000, 2))
    places_deg = np.concatenate([town, [[-40.0, 100.0]]])
    share = np.linspace(2.0, 1.0, 1001)
    asked: list[int] = []
    posterior = posterior_of((share / share.sum()).tolist())

    def search(count: int) -> torch.Tensor:
        asked.append(count)
        return posterior.by_probability(count)

    (told,) = rank_places(
        search, posterior, places_deg, unit=unit_vectors(places_deg), top_k=2, apart_km=25.0
    )
    assert told.index.tolist() == [0, 1000]
    assert asked == [64, 256, 1001]


def test_an_index_that_finds_fewer_gives_fewer() -> None:
    posterior = posterior_of(SHARES)

    def search(count: int) -> torch.Tensor:
        return torch.tensor([[4, 0, -1, -1, -1]])

    (told,) = rank_places(
        search, posterior, STREET, unit=unit_vectors(STREET), top_k=3, apart_km=5.0
    )
    assert told.index.tolist() == [4, 0]
