"""Planted hard and false negatives are found; a world without structure gives no flags."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from geoloc.geodesy import pairwise_great_circle_km, sample_sphere
from geoloc.negatives import (
    RefitSettings,
    RuleSettings,
    build_rule,
    fit_expectation,
    observe,
)

REGIONS, PLACES, TOWNS, HOUSES, SCENES = 150, 6, 20, 50, 2


def planted_world(seed: int):
    """Smooth features of known variogram, with look-alike regions and dense clusters planted.

    Regions are some 200 km across; the second half of them looks like the first half does, place
    by place. So every sample has a place where it lies and one whose looks it has: a pair that
    lies far apart but has the looks of places within 150 km is a planted hard negative. Towns are
    10 km across and have two kinds of scene: pairs of one kind are the planted false negatives.
    """
    random = np.random.default_rng(seed)
    middle = sample_sphere(REGIONS + TOWNS, generator=random)
    background = sample_sphere(800, generator=random)
    region = np.repeat(middle[:REGIONS], PLACES, axis=0)
    region = np.clip(region + random.normal(size=region.shape) * 1.5, -89.0, 89.0)
    town = np.repeat(middle[REGIONS:], HOUSES, axis=0)
    town = np.clip(town + random.normal(size=town.shape) * 0.04, -89.9, 89.9)
    latlon = np.concatenate([region, town, background])
    latlon[:, 1] = (latlon[:, 1] + 180.0) % 360.0 - 180.0
    feature = field(latlon, random, width=128)
    looks_of = np.arange(len(latlon))
    half = REGIONS // 2 * PLACES
    looks_of[half : 2 * half] = np.arange(half)
    feature = feature[looks_of] + 0.1 * random.normal(size=feature.shape)
    # two kinds of scene in every town: what differs between them is as large as the field itself
    scene = np.full(len(latlon), -1)
    rows = np.arange(len(region), len(region) + len(town))
    scene[rows] = rows // HOUSES * SCENES + rows % SCENES
    kind = random.normal(size=(scene.max() + 1, 128))
    feature[rows] = 0.6 * feature[rows] + kind[scene[rows]]
    return latlon, torch.from_numpy(feature).float(), latlon[looks_of], scene


def field(latlon: np.ndarray, random: np.random.Generator, *, width: int) -> np.ndarray:
    """Independent fields with an exponential variogram of scale 400 km, one a column."""
    lat, lon = np.radians(latlon).T
    unit = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)
    chord = 6371.0 * np.sqrt(np.maximum(2.0 - 2.0 * unit @ unit.T, 0.0))
    root = np.linalg.cholesky(np.exp(-chord / 400.0) + 1e-9 * np.eye(len(unit)))
    return root @ random.normal(size=(len(unit), width))


def judged(latlon, feature, rule="semivariogram"):
    expectation = fit_expectation(latlon, feature, RefitSettings(), seed=0)
    place = torch.from_numpy(latlon)
    evidence = observe(
        place,
        place,
        torch.eye(len(place), dtype=torch.bool),
        query_feature=feature,
        candidate_feature=feature,
        expectation=expectation,
    )
    return expectation, evidence, build_rule(rule, RuleSettings())(evidence)


def precision_recall(flagged: np.ndarray, planted: np.ndarray) -> tuple[float, float]:
    hit = float((flagged & planted).sum())
    return hit / max(flagged.sum(), 1), hit / planted.sum()


@pytest.mark.parametrize("seed", range(3))
def test_planted_negatives_are_found_at_the_default_parameters(seed):
    latlon, feature, looks_of, scene = planted_world(seed)
    expectation, evidence, flags = judged(latlon, feature)
    assert expectation.has_structure
    own, far = evidence.own.numpy(), evidence.lag_km.numpy() > expectation.effective_range_km
    looks = torch.from_numpy(looks_of)
    looks_km = pairwise_great_circle_km(looks, looks).numpy()
    in_town = scene >= 0
    looks_km[in_town] = looks_km[:, in_town] = np.inf
    # between 150 km and the range a pair is neither alike nor unlike: it counts for nothing
    clear = far & ((looks_km <= 150.0) | (looks_km > expectation.effective_range_km))
    hard = (flags.negative & (flags.weight > 1)).numpy()
    precision, recall = precision_recall(hard & clear, clear & (looks_km <= 150.0))
    assert precision >= 0.9
    assert recall >= 0.9
    # near places of the smooth field are alike by nature: those pairs count for nothing either
    clear = (in_town[:, None] | in_town[None]) & ~own
    same = (scene[:, None] == scene[None]) & clear
    precision, recall = precision_recall((~flags.negative).numpy() & clear, same)
    assert precision >= 0.9
    assert recall >= 0.9


@pytest.mark.parametrize("seed", range(3))
def test_a_world_whose_features_are_shuffled_over_places_gets_no_flags(seed):
    latlon, feature, _, _ = planted_world(seed)
    order = torch.randperm(len(feature), generator=torch.Generator().manual_seed(seed))
    expectation, evidence, flags = judged(latlon, feature[order])
    curve = expectation.variogram.semivariance
    enough = expectation.variogram.pair_count > 3000
    assert np.ptp(curve[enough]) < 0.1 * expectation.sill, "the variogram is flat"
    hard = flags.negative & (flags.weights() > 1)
    false = ~flags.negative & ~evidence.own
    assert float((hard | false).float().mean()) < 1e-3
