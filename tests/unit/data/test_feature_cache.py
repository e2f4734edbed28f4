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
from geoloc.data import sample_parts
from geoloc.data.feature_batches import FeatureBatches
from geoloc.data.feature_cache import FeatureCache
from geoloc.errors import DataError, MismatchError

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


def build(folder: Path, count: int = 10, **more: object) -> FeatureCache:
    return FeatureCache.build(folder, images(count), encode, fingerprint=PRINT, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_rows_hold_the_features_places_and_labels_of_their_keys(tmp_path: Path, dtype: str):
    done: list[int] = []
    build(tmp_path / "c", dtype=dtype, progress=done.append)
    cache = FeatureCache.open(tmp_path / "c", fingerprint=PRINT, verify=True)
    assert done == [4, 8, 10]
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
    assert features.shape == (10, 3)
    assert features[5, 0] == 5.0


def test_a_cache_of_something_else_is_refused_and_the_part_named(tmp_path: Path):
    build(tmp_path / "c")
    with pytest.raises(MismatchError, match="another backbone"):
        FeatureCache.open(tmp_path / "c", fingerprint=PRINT | {"backbone": "b2"})
    assert FeatureCache.open(tmp_path / "c").fingerprint == PRINT


def test_an_interrupted_build_is_no_cache_and_is_done_again(tmp_path: Path):
    def dying() -> Iterator[GeoBatch]:
        yield from images(8)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        FeatureCache.build(tmp_path / "c", dying(), encode, fingerprint=PRINT)
    with pytest.raises(DataError, match="no complete"):
        FeatureCache.open(tmp_path / "c")
    calls: list[int] = []

    def again() -> Iterator[GeoBatch]:
        calls.append(1)
        return images(10)

    for _ in range(2):
        cache = FeatureCache.open_or_build(tmp_path / "c", again, encode, fingerprint=PRINT)
        assert len(cache) == 10
    assert calls == [1]
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
    with pytest.raises(MismatchError):
        FeatureCache.open_or_build(
            tmp_path / "c", again, encode, fingerprint=PRINT | {"source": "s2"}
        )


def interrupted(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, batches: int, **more: object
) -> None:
    """Leave what a build leaves that is killed after so many batches of 4."""
    monkeypatch.setattr(sample_parts, "ROWS_A_PART", 8)

    def dying() -> Iterator[GeoBatch]:
        for number, batch in enumerate(images(40)):
            if number == batches:
                raise KeyboardInterrupt
            yield batch

    with pytest.raises(KeyboardInterrupt):
        FeatureCache.build(folder, dying(), encode, fingerprint=PRINT, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("batches", "size", "count", "encoded"),
    [
        (5, 4, 24, 2),  # 16 of 20 samples are on disk: their 4 batches are not encoded again
        (1, 4, 24, 6),  # nothing is on disk yet
        (5, 5, 24, 2),  # batches of another size: the one across the end of the 16 is done again
        (9, 3, 10, 0),  # the stream ends earlier, and all that it gives is on disk
    ],
)
def test_a_killed_build_goes_on_with_what_is_on_disk(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    batches: int,
    size: int,
    count: int,
    encoded: int,
):
    interrupted(tmp_path / "c", monkeypatch, batches=batches)
    calls: list[int] = []
    done: list[int] = []

    def counting(image: torch.Tensor) -> torch.Tensor:
        calls.append(len(image))
        return encode(image)

    FeatureCache.build(
        tmp_path / "c",
        images(count, size=size),
        counting,
        fingerprint=PRINT,
        progress=done.append,
    )
    assert len(calls) == encoded
    assert done[-1] == count
    FeatureCache.build(tmp_path / "whole", images(count), encode, fingerprint=PRINT)
    both = [FeatureCache.open(tmp_path / name, verify=True) for name in ("c", "whole")]
    ours, theirs = (cache.batch(np.arange(count)) for cache in both)
    assert (ours.key, ours.label) == (theirs.key, theirs.label)
    assert ours.feature is not None
    assert theirs.feature is not None
    assert torch.equal(ours.feature, theirs.feature)
    assert torch.equal(ours.latlon_deg, theirs.latlon_deg)
    names = {path.name for path in (tmp_path / "c").iterdir()}
    assert names == {"features.npy", "samples.parquet", "meta.json"}


def test_an_order_that_changed_drops_only_what_no_longer_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    interrupted(tmp_path / "c", monkeypatch, batches=6)
    first, *rest = images(24)
    order = [first, *rest[::-1]]
    cache = FeatureCache.build(tmp_path / "c", order, encode, fingerprint=PRINT)
    batch = cache.batch(np.arange(24))
    assert batch.key == tuple(key for each in order for key in each.key)
    assert batch.feature is not None
    assert batch.feature[:, 0].tolist() == [float(key[1:]) for key in batch.key]
    assert [label["n"] for label in batch.label] == [int(key[1:]) for key in batch.key]


@pytest.mark.parametrize("change", ["fingerprint", "dtype", "features", "part"])
def test_the_beginning_of_another_build_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
):
    interrupted(tmp_path / "c", monkeypatch, batches=6)
    beside = tmp_path / ".c.building"
    more = {"fingerprint": PRINT, "dtype": "float16"}
    if change == "fingerprint":
        more["fingerprint"] = PRINT | {"backbone": "b2"}
    elif change == "dtype":
        more["dtype"] = "float32"
    elif change == "features":
        (beside / "features.npy").write_bytes((beside / "features.npy").read_bytes()[:150])
    else:
        (beside / "part-00000.parquet").write_bytes(b"torn")
    calls: list[int] = []

    def counting(image: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return encode(image)

    cache = FeatureCache.build(tmp_path / "c", images(24), counting, **more)  # type: ignore[arg-type]
    assert len(calls) == 6
    assert cache.batch(np.arange(24)).key[-1] == "k023"


def test_a_key_that_an_interrupted_build_had_may_not_come_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    interrupted(tmp_path / "c", monkeypatch, batches=4)
    twice = [*images(16), *images(4, first=3)]
    with pytest.raises(DataError, match="k003 comes twice"):
        FeatureCache.build(tmp_path / "c", twice, encode, fingerprint=PRINT)


def test_samples_lie_in_groups_and_labels_are_read_when_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sample_parts, "ROWS_A_PART", 4)
    build(tmp_path / "c")
    assert parquet.ParquetFile(tmp_path / "c/samples.parquet").num_row_groups == 3
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


def test_an_existing_cache_is_never_overwritten(tmp_path: Path):
    build(tmp_path / "c")
    with pytest.raises(DataError, match="exists"):
        build(tmp_path / "c")


@pytest.mark.parametrize("name", ["features.npy", "samples.parquet", "meta.json"])
def test_a_missing_or_cut_file_is_seen(tmp_path: Path, name: str):
    build(tmp_path / "c")
    path = tmp_path / "c" / name
    path.write_bytes(path.read_bytes()[:-1])
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


def test_bad_input_is_refused_by_name(tmp_path: Path):
    def twice() -> Iterator[GeoBatch]:
        yield from images(4)
        yield from images(4, first=3)

    with pytest.raises(DataError, match="k003 comes twice"):
        FeatureCache.build(tmp_path / "a", twice(), encode, fingerprint=PRINT)
    with pytest.raises(DataError, match="no sample"):
        FeatureCache.build(tmp_path / "b", [], encode, fingerprint=PRINT)
    with pytest.raises(DataError, match="k001 is not finite in float16"):
        FeatureCache.build(
            tmp_path / "c", images(4), lambda x: encode(x * 70_000), fingerprint=PRINT
        )
    with pytest.raises(DataError, match="none"):
        FeatureCache.build(
            tmp_path / "d",
            [GeoBatch(key=("a",), latlon_deg=torch.zeros(1, 2), feature=torch.zeros(1, 2))],
            encode,
            fingerprint=PRINT,
        )


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
