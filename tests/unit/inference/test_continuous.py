"""Continuous decoding on fields whose highest point is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from geoloc.cli.model_arguments import DECODINGS as OFFERED
from geoloc.errors import ConfigError
from geoloc.geodesy import (
    fibonacci_sphere,
    great_circle_km,
    local_to_latlon_deg,
    sample_sphere,
    unit_vectors,
)
from geoloc.inference import Geolocator
from geoloc.inference.continuous import (
    DECODINGS,
    DecodingSettings,
    check_decoding,
    decode_places,
)
from geoloc.inference.place_field import PlaceField, around, hexagonal_lattice
from geoloc.inference.refinement import distinct_starts, refine_places
from geoloc.retrieval import ExactIndex

REACH_KM = 300.0


def smooth(latlon_deg: torch.Tensor) -> torch.Tensor:
    """Random Fourier features of the positions on the sphere: cosine falls with distance."""
    generator = torch.Generator().manual_seed(0)
    frequency = torch.randn(3, 256, generator=generator, dtype=torch.float64) * 6371.0 / REACH_KM
    phase = unit_vectors(latlon_deg.double()) @ frequency
    return torch.cat((phase.cos(), phase.sin()), dim=-1) / 16.0


def rough(latlon_deg: torch.Tensor) -> torch.Tensor:
    """The same with a ripple of 40 km, as the finest Fourier features of a model have."""
    generator = torch.Generator().manual_seed(1)
    frequency = torch.randn(3, 64, generator=generator, dtype=torch.float64) * 6371.0 / 10.0
    phase = unit_vectors(latlon_deg.double()) @ frequency
    ripple = torch.cat((phase.cos(), phase.sin()), dim=-1) / 8.0
    return torch.cat((smooth(latlon_deg), 0.6 * ripple), dim=-1) / math.sqrt(1.36)


def grid_places(spacing_deg: float = 1.2) -> torch.Tensor:
    lat, lon = np.meshgrid(np.arange(38, 56, spacing_deg), np.arange(-8, 16, spacing_deg * 1.45))
    return torch.from_numpy(np.stack((lat.ravel(), lon.ravel()), axis=-1))


def field_of(encode=smooth, places: torch.Tensor | None = None, scale: float = 20.0) -> PlaceField:
    places = grid_places() if places is None else places
    return PlaceField(
        latlon_deg=places, embedding=encode(places).float(), encode=encode, scale=scale
    )


def truths(count: int, seed: int = 0) -> torch.Tensor:
    generator = np.random.default_rng(seed)
    return torch.from_numpy(generator.uniform([42.0, -3.0], [52.0, 11.0], (count, 2)))


def hits_of(field: PlaceField, query: torch.Tensor, k: int = 10) -> torch.Tensor:
    return ExactIndex(field.embedding).search(query, k).index


def errors_km(place: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    return great_circle_km(truth, place)


@pytest.mark.parametrize(
    ("decoding", "within_km"),
    [("refined", 0.5), ("posterior", 15.0), ("kriging", 20.0), ("gallery-mean", 30.0)],
)
def test_places_between_those_of_a_gallery_are_found_on_a_smooth_field(decoding, within_km):
    field, truth = field_of(), truths(30)
    query = smooth(truth).float()
    hits = hits_of(field, query)
    gap = errors_km(field.latlon_deg[hits[:, 0]], truth)
    assert float(gap.median()) > 40.0
    settings = DecodingSettings(sharpness=1.0)
    found = decode_places(decoding, field, query, hits, settings=settings)
    assert float(errors_km(found.latlon_deg, truth).median()) < within_km
    cosine = (smooth(found.latlon_deg) * query).sum(-1)
    assert found.score.tolist() == pytest.approx(cosine.tolist(), abs=1e-6)


def test_argmax_is_the_best_hit():
    field, truth = field_of(), truths(5)
    hits = hits_of(field, smooth(truth).float())
    found = decode_places("argmax", field, smooth(truth).float(), hits)
    assert torch.equal(found.latlon_deg, field.latlon_deg[hits[:, 0]])


def test_a_mean_takes_ripples_out_where_the_highest_point_is_their_luck():
    """What the Earth tiles show: the image knows the place, the ripple knows nothing of it."""
    field, truth = field_of(rough), truths(60, seed=3)
    generator = torch.Generator().manual_seed(5)
    noise = torch.randn(60, 128, generator=generator, dtype=torch.float64) / math.sqrt(128)
    query = torch.cat((smooth(truth), noise), dim=-1)
    query = torch.nn.functional.normalize(query, dim=-1).float()
    hits = hits_of(field, query)
    settings = DecodingSettings(sharpness=1.0)
    error = {
        name: float(
            errors_km(
                decode_places(name, field, query, hits, settings=settings).latlon_deg, truth
            ).median()
        )
        for name in ("argmax", "refined", "posterior")
    }
    assert error["posterior"] < 0.75 * min(error["argmax"], error["refined"])


def test_refinement_never_ends_below_its_starts_nor_beyond_its_reach():
    places = torch.from_numpy(sample_sphere(400, generator=np.random.default_rng(0)))
    field = field_of(rough, places)
    query = torch.nn.functional.normalize(
        torch.randn(25, 640, generator=torch.Generator().manual_seed(0)), dim=-1
    )
    start = distinct_starts(field, hits_of(field, query), starts=3)
    place, score = refine_places(field, query, start, steps=5)
    begun = field.scores(query, field.latlon_deg[start])
    assert (score >= begun.max(dim=1).values).all()
    assert torch.allclose(field.scores(query, place[:, None])[:, 0], score, atol=1e-9)
    away = great_circle_km(field.latlon_deg[start], place[:, None])
    reach = field.spacing_km(start.flatten()).view(start.shape)
    assert (away <= reach * (1 + 1e-9)).any(dim=1).all()


def test_a_start_that_is_the_top_already_is_kept():
    """There the slope is rounding alone, of which Adam makes whole steps."""
    field = field_of(rough)
    row = torch.arange(20, 120, 7)[:, None]
    query = field.embedding[row[:, 0]]
    place, score = refine_places(field, query, row, steps=6)
    assert (score >= field.scores(query, field.latlon_deg[row])[:, 0]).all()
    assert float(great_circle_km(field.latlon_deg[row[:, 0]], place).max()) < 0.1


def test_gradients_reach_the_top_that_lattices_only_come_near():
    field, truth = field_of(), truths(12, seed=1)
    query = smooth(truth).float()
    start = hits_of(field, query, 1)
    coarse, low = refine_places(field, query, start, steps=0)
    fine, high = refine_places(field, query, start, steps=40)
    assert (high >= low).all()
    assert float(errors_km(fine, truth).median()) < 0.2 * float(errors_km(coarse, truth).median())


def test_kriging_does_not_extrapolate_off_a_coast():
    places = grid_places()
    land = places[places[:, 1] < 3.0]
    field, truth = field_of(places=land), torch.tensor([[47.0, 6.5]], dtype=torch.float64)
    query = smooth(truth).float()
    found = decode_places("kriging", field, query, hits_of(field, query))
    spacing = float(field.spacing_km(hits_of(field, query)[:, 0]))
    assert float(great_circle_km(land, found.latlon_deg).min()) <= spacing * (1 + 1e-9)


def test_starts_are_hits_that_lie_apart_best_first():
    columns = len(np.arange(-8, 16, 1.2 * 1.45))
    middle, other = 7 * columns + 5, 7 * columns + 10
    field = field_of()
    hits = torch.tensor([[middle, middle + 1, middle - columns, other + columns, other]])
    assert distinct_starts(field, hits, starts=2).tolist() == [[middle, other + columns]]
    assert distinct_starts(field, hits, starts=1).tolist() == [[middle]]
    # no third hit lies apart
    assert distinct_starts(field, hits, starts=3).tolist() == [[middle, other + columns, middle]]


def test_spacing_is_the_side_of_a_place_s_share_of_an_even_gallery():
    field = field_of(places=torch.from_numpy(fibonacci_sphere(20_000)))
    expected = math.sqrt(4 * math.pi * 6371.0**2 / 20_000)
    spacing = field.spacing_km(torch.arange(0, 20_000, 97))
    assert float(spacing.median()) == pytest.approx(expected, rel=0.1)


def test_a_lattice_is_even_within_the_disc_and_begins_at_its_centre():
    lattice = hexagonal_lattice(8)
    assert lattice[0].tolist() == [0.0, 0.0]
    assert float(lattice.norm(dim=-1).max()) == pytest.approx(1.0)
    apart = torch.cdist(lattice, lattice) + 9.0 * torch.eye(len(lattice), dtype=torch.float64)
    assert apart.min(dim=1).values.tolist() == pytest.approx([1 / 8] * len(lattice))
    assert len(lattice) == pytest.approx(math.pi / (math.sqrt(0.75) / 64), rel=0.05)
    assert float(lattice.mean(dim=0).abs().max()) < 1e-12


def test_decoding_crosses_poles_and_the_date_line():
    for center in ([89.5, 30.0], [10.0, 179.9]):
        middle = torch.tensor([center], dtype=torch.float64)
        grid = torch.cartesian_prod(torch.arange(-4.0, 5.0), torch.arange(-4.0, 5.0)).double()
        places = local_to_latlon_deg(middle, 130.0 * grid[:, 0], 130.0 * grid[:, 1])
        field = field_of(places=places)
        truth = local_to_latlon_deg(middle, *torch.tensor([[60.0], [20.0]], dtype=torch.float64))
        query = smooth(truth).float()
        for decoding in DECODINGS[1:]:
            settings = DecodingSettings(sharpness=1.0)
            found = decode_places(decoding, field, query, hits_of(field, query), settings=settings)
            assert float(errors_km(found.latlon_deg, truth)) < 30.0, decoding


@pytest.mark.parametrize("decoding", DECODINGS)
def test_no_query_and_a_gallery_of_one_place_are_no_exception(decoding):
    field = field_of()
    empty = decode_places(
        decoding, field, torch.empty(0, 512), torch.empty(0, 10, dtype=torch.int64)
    )
    assert empty.latlon_deg.shape == (0, 2)
    assert empty.score.shape == (0,)
    alone = field_of(places=grid_places()[:1])
    query = smooth(truths(2)).float()
    found = decode_places(decoding, alone, query, hits_of(alone, query))
    assert torch.isfinite(found.latlon_deg).all()


def test_names_are_those_that_the_commands_offer():
    assert OFFERED == DECODINGS
    with pytest.raises(ConfigError, match="no decoding 'mode': choose argmax"):
        check_decoding("mode")


@pytest.mark.parametrize("decoding", DECODINGS)
def test_a_geolocator_answers_between_its_places(decoding, model, gallery_of, photo):
    gallery = gallery_of(model)
    plain = Geolocator(model, gallery).locate(photo(), top_k=3)
    answer = Geolocator(model, gallery, decoding=decoding).locate(photo(), top_k=3)
    assert answer.places[1:] == plain.places[1:]
    assert answer.places[0].probability == plain.places[0].probability
    first = answer.places[0].latlon_deg
    moved = float(great_circle_km(np.array(first), np.array(plain.places[0].latlon_deg)))
    if decoding in ("argmax", "kriging"):
        # seven places over the Earth: no kriged score is higher than at the hit
        assert moved == 0.0
    else:
        assert moved > 0.0
    if decoding == "refined":
        assert answer.places[0].score >= plain.places[0].score - 1e-6


def test_an_unknown_decoding_is_refused(model, gallery_of):
    with pytest.raises(ConfigError, match="no decoding 'best'"):
        Geolocator(model, gallery_of(model), decoding="best")


def test_offsets_are_km_around_their_centres():
    center = torch.tensor([[60.0, 20.0]], dtype=torch.float64)
    place = around(center, torch.tensor([[[30.0, 40.0]]], dtype=torch.float64))
    assert float(great_circle_km(center, place[0])) == pytest.approx(50.0)


def test_a_run_answers_by_posterior_unless_a_gallery_is_named(run):
    assert Geolocator.load(run).decoding == "posterior"
    assert Geolocator.load(run, gallery="seven").decoding == "argmax"
    assert Geolocator.load(run, gallery="seven", decoding="refined").decoding == "refined"
    assert Geolocator.load(run, decoding="argmax").decoding == "argmax"
