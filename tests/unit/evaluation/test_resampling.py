from __future__ import annotations

import numpy as np
import pytest

from geoloc.evaluation import block_intervals, spatial_blocks
from geoloc.evaluation.resampling import RowMeasure
from geoloc.geodesy import great_circle_km, sample_sphere


def _measure(value):
    return RowMeasure(value=np.asarray(value, float), counted=np.ones(len(value), dtype=bool))


def test_blocks_are_of_nearly_equal_area_and_about_the_asked_size():
    places = sample_sphere(400_000, generator=np.random.default_rng(0))
    block = spatial_blocks(places, block_km=1000.0)
    _, count = np.unique(block, return_counts=True)
    earth_km2 = 4 * np.pi * 6371.0**2
    assert len(count) == pytest.approx(earth_km2 / 1000.0**2, rel=0.05)
    assert count.std() / count.mean() < 0.2


def test_members_of_a_block_are_near_one_another():
    places = sample_sphere(3000, generator=np.random.default_rng(1))
    block = spatial_blocks(places)
    for name in np.unique(block)[::20]:
        inside = places[block == name]
        assert float(np.max(great_circle_km(inside[:1], inside))) < 1000.0


def test_edges_of_the_map_have_blocks():
    edges = np.array([[90.0, 180.0], [-90.0, -180.0], [0.0, 180.0], [0.0, -180.0]])
    block = spatial_blocks(edges)
    assert (block >= 0).all()
    assert block[2] == block[3]
    with pytest.raises(ValueError, match="positive"):
        spatial_blocks(edges, block_km=0.0)


def test_same_seed_same_intervals_and_other_seed_others():
    generator = np.random.default_rng(2)
    km, block = generator.exponential(100, 500), generator.integers(40, size=500)
    ask = {"within": _measure(km < 100)}
    one = block_intervals(ask, km, block, resamples=100, seed=1)
    assert one == block_intervals(ask, km, block, resamples=100, seed=1)
    assert one != block_intervals(ask, km, block, resamples=100, seed=2)


def test_interval_of_independent_blocks_is_that_of_the_mean():
    generator = np.random.default_rng(3)
    value = generator.normal(10.0, 2.0, 2000)
    told = block_intervals({"mean": _measure(value)}, value, np.arange(2000), resamples=2000)
    half = 1.96 * 2.0 / np.sqrt(2000)
    assert told["mean"] == pytest.approx([value.mean() - half, value.mean() + half], abs=0.03)


def test_copies_inside_a_block_do_not_narrow_the_interval():
    value = np.random.default_rng(4).normal(10.0, 2.0, 200)
    block = np.arange(200)
    single = block_intervals({"mean": _measure(value)}, value, block, resamples=500)
    copied = np.repeat(value, 10)
    tenfold = block_intervals(
        {"mean": _measure(copied)}, copied, np.repeat(block, 10), resamples=500
    )
    assert tenfold["mean"] == pytest.approx(single["mean"])
    assert tenfold["median_km"] == pytest.approx(single["median_km"])


def test_median_interval_against_a_naive_bootstrap():
    generator = np.random.default_rng(5)
    km, block = generator.exponential(100, 301), generator.integers(30, size=301)
    told = block_intervals({}, km, block, resamples=400, seed=9)["median_km"]
    known = np.unique(block)
    draws = np.random.default_rng(9).multinomial(len(known), [1 / len(known)] * 30, size=400)
    medians = []
    for times in draws:
        drawn = np.sort(np.concatenate([np.repeat(km[block == b], t)
                                        for b, t in zip(known, times, strict=True)]))  # fmt: skip
        medians.append(drawn[(len(drawn) - 1) // 2])
    assert told == pytest.approx(np.percentile(medians, [2.5, 97.5]).tolist())


def test_one_block_says_nothing():
    km = np.array([1.0, 2.0])
    assert block_intervals({"mean": _measure(km)}, km, np.zeros(2, dtype=np.int64)) == {}


def test_rows_that_do_not_count_are_not_in_the_mean():
    measure = RowMeasure(value=np.array([1.0, 0.0, 0.0]), counted=np.array([True, False, True]))
    assert measure.mean() == 0.5
    assert RowMeasure(value=np.ones(1), counted=np.zeros(1, dtype=bool)).mean() is None


def test_rows_that_do_not_count_are_not_in_the_interval():
    generator = np.random.default_rng(6)
    km, block = generator.exponential(100, 300), generator.integers(30, size=300)
    counted = generator.random(300) < 0.5
    wild = RowMeasure(value=np.where(counted, km, 1e9), counted=counted)
    alone = block_intervals({"mean": wild}, km, block, resamples=200)["mean"]
    assert alone[0] < km[counted].mean() < alone[1] < 200.0
