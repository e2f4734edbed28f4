"""The torch and the compiled way against a naive loop over pairs, and against each other."""

import numpy as np
import pytest
import torch

from geoloc.errors import ConfigError
from geoloc.geostatistics.accumulator import Engine, VariogramAccumulator
from geoloc.geostatistics.all_pairs import tiles_for
from geoloc.geostatistics.lags import LagBins
from geoloc.geostatistics.slots import COINCIDENT, FIRST
from geoloc.geostatistics.sums import COUNT, VALUE
from geoloc.geostatistics.tiles_numba import NumbaTiles
from geoloc.geostatistics.tiles_torch import TorchTiles

BACKENDS = ("torch", "numba")
KM = LagBins(edges=(0.0, 0.001, 0.1, 5.0, 300.0, 4000.0, 15_000.0))


def accumulated(places, values, bins, *, backend, group=None, metric="great_circle", **kind):
    group_count = 1 if group is None else int(group.max()) + 1
    sums = VariogramAccumulator(bins, metric=metric, group_count=group_count, roots=True, **kind)
    sums.add(places, values, groups=group, engine=Engine(backend=backend))
    return sums


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dissimilarity", ["cosine", "squared", "absolute"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_vectors_on_the_sphere(naive, clustered_places, backend, dissimilarity, dtype):
    places = clustered_places(90)
    values = np.random.default_rng(1).normal(size=(90, 7)).astype(dtype)
    sums = accumulated(places, values, KM, backend=backend, dissimilarity=dissimilarity)
    expected, coincident = naive(places, values, KM.edges, dissimilarity)
    total = sums.total()
    assert sums.pair_count == 90 * 89 // 2
    assert total[COINCIDENT, COUNT] == coincident >= 1
    found = total[FIRST : FIRST + len(KM)]
    np.testing.assert_array_equal(found[:, COUNT], expected[:, COUNT])
    assert (expected[:, COUNT] > 0).all()
    tolerance = 1e-10 if dtype is np.float64 else 2e-6
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_array_equal(sums.histogram.sum(dim=1).numpy(), total[:, COUNT])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("axes", [None, 1, 2, 3])
def test_scalars_on_line_plane_and_space(naive, backend, axes):
    generator = np.random.default_rng(2)
    shape = (70,) if axes is None else (70, axes)
    places = generator.integers(0, 6, size=shape).astype(np.float64)
    values = 1e6 + generator.normal(size=70)
    bins = LagBins(edges=(0.0, 1.0, 2.0, 4.0), unit="step")
    sums = accumulated(
        places, values, bins, backend=backend, metric="euclidean", dissimilarity="squared"
    )
    expected, coincident = naive(places, values, bins.edges, "squared", "euclidean")
    assert sums.total()[COINCIDENT, COUNT] == coincident > 0
    found = sums.total()[FIRST : FIRST + 3]
    np.testing.assert_array_equal(found[:, COUNT], expected[:, COUNT])
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("backend", BACKENDS)
def test_sums_by_pairs_of_groups(naive, clustered_places, backend):
    places = clustered_places(60)
    values = np.random.default_rng(3).normal(size=(60, 5))
    group = np.random.default_rng(4).integers(0, 4, size=60)
    sums = accumulated(places, values, KM, backend=backend, group=group, dissimilarity="squared")
    by_group = sums.by_group()[:, :, FIRST : FIRST + len(KM)]
    for g in range(4):
        inside = group == g
        expected, _ = naive(places[inside], values[inside], KM.edges, "squared")
        np.testing.assert_allclose(by_group[g, g], expected, atol=1e-9)
        without, _ = naive(places[~inside], values[~inside], KM.edges, "squared")
        left = sums.total()[FIRST : FIRST + len(KM)] - by_group[g].sum(axis=0)
        np.testing.assert_allclose(left, without, atol=1e-8)
    np.testing.assert_array_equal(by_group[1, 3], by_group[3, 1])


@pytest.mark.parametrize("threads", [1, 3])
def test_many_tiles_and_threads(monkeypatch, clustered_places, threads):
    # tiles of 64 rows and strips of few tiles: every border is crossed
    for kind in (NumbaTiles, TorchTiles):
        monkeypatch.setattr(
            kind, "tile_rows", property(lambda _: 64, lambda *_: None), raising=False
        )
    monkeypatch.setattr("geoloc.geostatistics.all_pairs._ROW_BYTES", {"cpu": 64 * 150 * 2})
    places = clustered_places(500)
    values = np.random.default_rng(5).normal(size=(500, 20)).astype(np.float32)
    group = np.random.default_rng(6).integers(0, 7, size=500)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        both = [
            accumulated(places, values, KM, backend=backend, group=group) for backend in BACKENDS
        ]
    finally:
        torch.set_num_threads(before)
    assert both[0].pair_count == 500 * 499 // 2
    torch.testing.assert_close(
        both[0].moments[..., COUNT], both[1].moments[..., COUNT], rtol=0, atol=0
    )
    torch.testing.assert_close(both[0].moments, both[1].moments, rtol=1e-6, atol=1e-6)
    moved = (both[0].histogram - both[1].histogram).abs().sum()
    assert moved <= 4  # values on the border of a class, rounded differently


@pytest.mark.parametrize("backend", BACKENDS)
def test_near_duplicates_in_float32(backend):
    # rounding of 1 - cos alone would drown differences of 1e-4
    generator = np.random.default_rng(7)
    base = generator.normal(size=(1, 512))
    values = base + 1e-3 * generator.normal(size=(200, 512))
    places = np.stack([np.linspace(0, 40, 200), np.zeros(200)], axis=1)
    bins = LagBins.even(4, 5000.0)
    exact = accumulated(places, values, bins, backend=backend).total()
    single = accumulated(places, values.astype(np.float32), bins, backend=backend).total()
    mean = [sums[FIRST : FIRST + 4, 2] / sums[FIRST : FIRST + 4, 0] for sums in (exact, single)]
    np.testing.assert_allclose(mean[1], mean[0], atol=1e-6)


def test_bfloat16_products_stay_near(clustered_places):
    places = clustered_places(300)
    values = np.random.default_rng(8).normal(size=(300, 256)).astype(np.float32)
    values[:, :8] += 6 * np.sin(np.radians(places[:, :1]) * np.arange(1, 9))
    sums = []
    for precision in ("float32", "bfloat16"):
        each = VariogramAccumulator(KM)
        each.add(places, values, engine=Engine(precision=precision))
        sums.append(each.total()[FIRST : FIRST + len(KM)])
    mean = [each[:, 2] / each[:, 0] for each in sums]
    np.testing.assert_allclose(mean[1], mean[0], rtol=2e-3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_autocast_has_no_say(backend, clustered_places):
    places = clustered_places(120)
    generator = np.random.default_rng(11)
    values = (generator.normal(size=256) + 0.01 * generator.normal(size=(120, 256))).astype("f4")
    plain = accumulated(places, values, KM, backend=backend)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = accumulated(places, values, KM, backend=backend)
    torch.testing.assert_close(inside.moments, plain.moments)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("size", [1e-30, 1e-22, 1e-12, 1e12, 1e20, 1e30])
@pytest.mark.parametrize("dissimilarity", ["cosine", "squared", "absolute"])
def test_values_of_any_size(backend, size, dissimilarity, clustered_places):
    places = clustered_places(60)
    values = np.random.default_rng(12).normal(size=(60, 3))
    square = {"cosine": 1.0, "squared": size**2, "absolute": size}[dissimilarity]
    expected = accumulated(places, values, KM, backend=backend, dissimilarity=dissimilarity)
    scaled = (values * size).astype(np.float32)
    found = accumulated(places, scaled, KM, backend=backend, dissimilarity=dissimilarity)
    mean = [sums.total()[..., VALUE] for sums in (found, expected)]
    np.testing.assert_allclose(mean[0], mean[1] * square, rtol=2e-5)


def test_near_duplicates_by_half_their_distance():
    generator = np.random.default_rng(13)
    values = (generator.normal(size=256) + 1e-6 * generator.normal(size=(80, 256))).astype("f4")
    places = np.stack([np.linspace(0, 40, 80), np.zeros(80)], axis=1)
    bins = LagBins.even(1, 5000.0)
    sums = accumulated(places, values, bins, backend="numba", dissimilarity="absolute").total()
    difference = values[:, None].astype(np.float64) - values
    expected = np.linalg.norm(difference, axis=2)[np.triu_indices(80, 1)].mean() / 2
    assert sums[FIRST, VALUE] / sums[FIRST, COUNT] == pytest.approx(expected, rel=1e-4)


def test_backends_by_name():
    sums = VariogramAccumulator(KM)
    with pytest.raises(ConfigError, match="backend"):
        tiles_for(VariogramAccumulator(KM, device="meta"), "numba")
    assert type(tiles_for(sums)).__name__ == "NumbaTiles"
    assert type(tiles_for(VariogramAccumulator(KM, device="meta"))).__name__ == "TorchTiles"


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_on_a_gpu(clustered_places, precision):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    places = clustered_places(6000)
    values = np.random.default_rng(9).normal(size=(6000, 128)).astype(np.float32)
    group = np.random.default_rng(6).integers(0, 7, size=6000)
    sums = []
    for device in ("cpu", "cuda"):
        each = VariogramAccumulator(KM, group_count=7, device=device)
        each.add(places, values, groups=group, engine=Engine(precision=precision))
        sums.append(each.moments.cpu())
    torch.testing.assert_close(sums[0][..., COUNT], sums[1][..., COUNT], rtol=0, atol=0)
    torch.testing.assert_close(sums[0], sums[1], rtol=1e-5, atol=1e-5)
