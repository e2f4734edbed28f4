from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from geoloc.batch import GeoBatch
from geoloc.data.feature_batches import FeatureBatches
from geoloc.data.feature_cache import FeatureCache
from geoloc.data.feature_views import drawn_views
from geoloc.errors import DataError, MismatchError
from geoloc.negatives import EpochExpectation, RefitSettings, SemivariogramSampler
from tests.unit.data.written_caches import write_cache

PRINT = {"backbone": "b1", "preset": "p1", "source": "s1"}


def images(count: int, *, size: int = 4, first: int = 0) -> Iterator[GeoBatch]:
    for start in range(first, first + count, size):
        number = torch.arange(start, min(start + size, first + count))
        yield GeoBatch(
            key=tuple(f"k{int(i):03d}" for i in number),
            latlon_deg=torch.stack([number / 7.0, -number / 3.0], dim=1).double(),
            image=number[:, None, None, None].float().expand(-1, 3, 2, 2).clone(),
            label=tuple({"country": "NA", "n": int(i)} for i in number),
        )


def encode(image: torch.Tensor) -> torch.Tensor:
    value = image.mean(dim=(1, 2, 3))
    return torch.stack([value, value / 3, -value], dim=1)


def build(folder: Path, count: int = 10, **more: str) -> FeatureCache:
    return write_cache(folder, images(count), encode, fingerprint=PRINT, **more)


def build_views(folder: Path, count: int = 10) -> FeatureCache:
    """Of three views, of which view v has v added to it."""
    views = [lambda image, v=v: encode(image) + v for v in range(3)]
    return write_cache(folder, images(count), *views, fingerprint=PRINT)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_rows_hold_the_features_places_and_labels_of_their_keys(tmp_path: Path, dtype: str):
    build(tmp_path / "c", dtype=dtype)
    cache = FeatureCache.open(tmp_path / "c", fingerprint=PRINT, verify=True)
    assert (len(cache), cache.feature_dim) == (10, 3)
    batch = cache.batch(np.array([7, 0, 9]))
    assert batch.key == ("k007", "k000", "k009")
    assert batch.latlon_deg.dtype == torch.float64
    assert batch.latlon_deg.tolist() == [[np.float32(7 / 7), np.float32(-7 / 3)], [0.0, 0.0],
                                         [np.float32(9 / 7), np.float32(-9 / 3)]]  # fmt: skip
    assert [label["n"] for label in batch.label] == [7, 0, 9]
    assert batch.label[0]["country"] == "NA"
    assert batch.feature is not None
    assert batch.feature.dtype == torch.float32
    expected = encode(torch.tensor([7.0, 0.0, 9.0])[:, None, None, None].expand(-1, 3, 2, 2))
    assert torch.allclose(batch.feature, expected, rtol=1e-3 if dtype == "float16" else 0)


def test_the_features_are_a_plain_npy_file_of_the_wanted_dtype(tmp_path: Path):
    build(tmp_path / "c")
    features = np.load(tmp_path / "c" / "features.npy", mmap_mode="r")
    assert features.dtype == np.float16
    assert features.shape == (1, 10, 3)
    assert features[0, 5, 0] == 5.0
    assert np.array_equal(FeatureCache.open(tmp_path / "c").features, features[0])


def test_a_cache_of_something_else_is_refused_and_the_part_named(tmp_path: Path):
    build(tmp_path / "c")
    with pytest.raises(MismatchError, match="another backbone"):
        FeatureCache.open(tmp_path / "c", fingerprint=PRINT | {"backbone": "b2"})
    assert FeatureCache.open(tmp_path / "c").fingerprint == PRINT


def test_labels_are_read_when_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    build(tmp_path / "c")
    read: list[list[str]] = []
    table = parquet.read_table

    def watching(path: Path, *, columns: list[str]) -> object:
        read.append(columns)
        return table(path, columns=columns)

    monkeypatch.setattr(parquet, "read_table", watching)
    cache = FeatureCache.open(tmp_path / "c")
    assert cache.batch(np.array([3]), labels=False).label == ()
    assert read == [["key", "lat_deg", "lon_deg"]]
    for _ in range(2):
        assert cache.batch(np.array([9, 3])).label[0]["n"] == 9
    assert read[1:] == [["label"]]


@pytest.mark.parametrize("name", ["features.npy", "samples.parquet", "meta.json"])
def test_a_missing_or_cut_file_is_seen(tmp_path: Path, name: str):
    build(tmp_path / "c")
    path = tmp_path / "c" / name
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(DataError):
        FeatureCache.open(tmp_path / "c")
    path.unlink()
    with pytest.raises(DataError):
        FeatureCache.open(tmp_path / "c")


def test_a_flipped_bit_in_features_is_seen_when_verified(tmp_path: Path):
    build(tmp_path / "c")
    path = tmp_path / "c" / "features.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 4
    path.write_bytes(content)
    FeatureCache.open(tmp_path / "c")
    with pytest.raises(DataError, match="damaged"):
        FeatureCache.open(tmp_path / "c", verify=True)


def test_an_incomplete_description_is_refused(tmp_path: Path):
    build(tmp_path / "c")
    meta = json.loads((tmp_path / "c" / "meta.json").read_text())
    (tmp_path / "c" / "meta.json").write_text(json.dumps(meta | {"complete": False}))
    with pytest.raises(DataError, match="complete"):
        FeatureCache.open(tmp_path / "c")


def test_a_cache_of_an_older_version_is_refused_in_words(tmp_path: Path):
    build(tmp_path / "c")
    meta = json.loads((tmp_path / "c" / "meta.json").read_text())
    (tmp_path / "c" / "meta.json").write_text(json.dumps(meta | {"schema_version": 1}))
    with pytest.raises(DataError, match="another version of geoloc"):
        FeatureCache.open(tmp_path / "c")


def test_rows_that_are_none_are_refused_even_where_another_view_has_them(tmp_path: Path):
    cache = build_views(tmp_path / "c")
    for row in (10, -1):
        with pytest.raises(IndexError):
            cache.batch(np.array([0, row]))


def test_view_0_unless_one_is_drawn_and_then_the_one_that_is_drawn(tmp_path: Path):
    cache = build_views(tmp_path / "c")
    assert (len(cache), cache.views, cache.feature_dim) == (10, 3, 3)
    rows = np.array([4, 9, 0, 4, 7])
    plain = cache.batch(rows).feature
    drawn = cache.batch(rows, drawn=(5, 2)).feature
    assert plain is not None
    assert drawn is not None
    assert plain[:, 0].tolist() == rows.tolist()
    views = drawn_views(rows, seed=5, epoch=2, views=3)
    assert drawn[:, 0].tolist() == (rows + views).tolist()
    assert np.array_equal(cache.features[:, 0], np.arange(10))


@given(
    seed=st.integers(-(2**63), 2**64),
    epoch=st.integers(0, 10**6),
    views=st.integers(1, 9),
    first=st.integers(0, 2**40),
)
def test_views_are_even_and_of_no_order(seed: int, epoch: int, views: int, first: int):
    rows = np.arange(first, first + 4000)
    drawn = drawn_views(rows, seed=seed, epoch=epoch, views=views)
    expected = 4000 / views
    counts = np.bincount(drawn, minlength=views)
    assert len(counts) == views
    assert np.abs(counts - expected).max() <= 6 * np.sqrt(expected)
    # A row's view depends on nothing but itself, seed and epoch.
    some = rows[::-7]
    assert np.array_equal(drawn_views(some, seed=seed, epoch=epoch, views=views), drawn[::-7])
    if views > 1:
        for other in ((seed + 1, epoch), (seed, epoch + 1)):
            again = drawn_views(rows, seed=other[0], epoch=other[1], views=views)
            assert abs((again == drawn).mean() - 1 / views) < 6 * np.sqrt(0.25 / 4000)
        assert abs((drawn[1:] == drawn[:-1]).mean() - 1 / views) < 6 * np.sqrt(0.25 / 4000)


def test_views_are_those_of_splitmix64():
    """Against its published stream: seed 1234567, first outputs (rosettacode.org, SplitMix64)."""
    from geoloc.data import feature_views

    state = np.uint64(1234567) + np.arange(1, 4, dtype=np.uint64) * np.uint64(feature_views._STEP)
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert feature_views._mixed(state).tolist() == expected


def test_composed_batches_show_drawn_views_too(tmp_path: Path):
    cache = build_views(tmp_path / "c")

    def embed(batch: GeoBatch) -> torch.Tensor:
        raise AssertionError("before the warm-up is over nothing is fitted")

    refit = RefitSettings(warmup_epochs=9)
    data = SemivariogramSampler(cache, 4, embed, EpochExpectation(), refit=refit, seed=3)
    for epoch in (0, 1):
        for batch in data.epoch(epoch):
            assert batch.feature is not None
            rows = np.array([int(key[1:]) for key in batch.key])
            views = batch.feature[:, 0].numpy().astype(int) - rows
            assert np.array_equal(views, drawn_views(rows, seed=3, epoch=epoch, views=3))


def test_batches_in_random_order_show_drawn_views_and_all_of_them_in_time(tmp_path: Path):
    cache = build_views(tmp_path / "c")
    data = FeatureBatches(cache, 4, seed=3)
    seen = set[tuple[int, int]]()
    for epoch in range(20):
        for batch in data.epoch(epoch):
            assert batch.feature is not None
            rows = np.array([int(key[1:]) for key in batch.key])
            views = batch.feature[:, 0].numpy().astype(int) - rows
            assert np.array_equal(views, drawn_views(rows, seed=3, epoch=epoch, views=3))
            seen |= set(zip(rows.tolist(), views.tolist(), strict=True))
    assert len(seen) == 30
    for batch in FeatureBatches(cache, 4, shuffle=False).epoch(7):
        assert batch.feature is not None
        assert batch.feature[:, 0].tolist() == [float(key[1:]) for key in batch.key]


@given(size=st.integers(1, 13), epoch=st.integers(0, 5), seed=st.integers(0, 3))
def test_every_sample_once_an_epoch_with_its_own_feature(
    tmp_path_factory: pytest.TempPathFactory, size: int, epoch: int, seed: int
):
    cache = shared_cache(tmp_path_factory)
    data = FeatureBatches(cache, size, seed=seed, labels=True)
    batches = list(data.epoch(epoch))
    keys = [key for batch in batches for key in batch.key]
    assert sorted(keys) == [f"k{i:03d}" for i in range(10)]
    assert len(batches) == data.steps_per_epoch
    assert [len(batch) for batch in batches[:-1]] == [size] * (len(batches) - 1)
    for batch in batches:
        assert batch.feature is not None
        assert batch.feature[:, 0].tolist() == [float(key[1:]) for key in batch.key]
        assert [label["n"] for label in batch.label] == [int(key[1:]) for key in batch.key]


_shared: dict[str, FeatureCache] = {}


def shared_cache(factory: pytest.TempPathFactory) -> FeatureCache:
    if "cache" not in _shared:
        _shared["cache"] = build(factory.mktemp("shared") / "c")
    return _shared["cache"]


def keys(data: FeatureBatches, epoch: int) -> list[tuple[str, ...]]:
    return [batch.key for batch in data.epoch(epoch)]


def test_the_order_depends_on_seed_and_epoch_alone(tmp_path: Path):
    cache = build(tmp_path / "c")
    data = FeatureBatches(cache, 3, seed=1)
    first, second = keys(data, 0), keys(data, 1)
    assert first != second
    assert keys(data, 0) == first
    assert keys(FeatureBatches(cache, 3, seed=2), 0) != first
    plain = FeatureBatches(cache, 4, shuffle=False)
    assert keys(plain, 5)[0] == ("k000", "k001", "k002", "k003")


@pytest.mark.parametrize("stop", [1, 2, 3, 4])
def test_a_restored_position_goes_on_exactly(tmp_path: Path, stop: int):
    cache = build(tmp_path / "c")
    straight = keys(FeatureBatches(cache, 3, seed=1), 2)
    first = FeatureBatches(cache, 3, seed=1)
    batches = first.epoch(2)
    taken = [next(batches).key for _ in range(stop)]
    state = json.loads(json.dumps(first.state()))
    second = FeatureBatches(cache, 3, seed=1)
    second.restore(state)
    assert taken + keys(second, 2) == straight
    assert keys(second, 2) == straight  # a position is used once


def test_a_position_of_other_batches_is_refused(tmp_path: Path):
    cache = build(tmp_path / "c")
    state = FeatureBatches(cache, 3, seed=1).state()
    for other in (FeatureBatches(cache, 4, seed=1), FeatureBatches(cache, 3, seed=2)):
        with pytest.raises(MismatchError, match="position"):
            other.restore(state)
    data = FeatureBatches(cache, 3, seed=1)
    data.restore(state)
    with pytest.raises(MismatchError, match="epoch"):
        data.epoch(1)
    with pytest.raises(DataError, match="at least 1"):
        FeatureBatches(cache, 0)
