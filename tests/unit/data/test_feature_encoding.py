"""Features of shards: the same bytes whoever computes them, whatever interrupts it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from geoloc.batch import GeoBatch
from geoloc.data.feature_cache import FeatureCache
from geoloc.data.feature_encoding import FeatureEncoder, cached_features
from geoloc.data.feature_images import shard_images
from geoloc.data.feature_source import FeatureSource, folder_name, room_for_samples
from geoloc.data.record import Record
from geoloc.data.shard_list import list_shards
from geoloc.data.shard_opener import ShardOpener
from geoloc.data.shards import ShardWriter
from geoloc.data.stream import ShardStream
from geoloc.data.transforms import Augmentation
from geoloc.errors import ConfigError, DataError, LostSamplesError, MismatchError
from geoloc.models.image_encoder import ImagePreset
from tests.unit.data.feature_worlds import VARIED, compute, digests, pixels

MakeShards = Callable[..., Path]


def program(*words: object) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.unit.data.feature_worlds", *map(str, words)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def counting(calls: list[int]) -> Callable[[torch.Tensor], torch.Tensor]:
    def encode(image: torch.Tensor) -> torch.Tensor:
        calls.append(len(image))
        return pixels(image)

    return encode


def streamed(shards: Path) -> GeoBatch:
    """All samples of a folder in one batch, by the stream that evaluation reads."""
    return next(ShardStream(shards, ImagePreset(size=16), batch_size=999, training=False).epoch(0))


def damage(shard: Path, key: str) -> None:
    """Break the image of a sample, so that it cannot be decoded."""
    data = bytearray(shard.read_bytes())
    start = data.index(b"\xff\xd8\xff", data.index(f"{key}.jpg".encode()))
    data[start + 20 : start + 200] = bytes(180)
    shard.write_bytes(data)


@pytest.mark.parametrize("workers", [0, 3])
def test_features_are_those_of_the_images_that_a_stream_gives(
    make_shards: MakeShards, tmp_path: Path, workers: int
):
    shards = make_shards(23, per_shard=6)
    told: list[tuple[int, int]] = []
    cache = compute(
        tmp_path / "c", shards, workers=workers, progress=lambda *at: told.append(at), batch_size=5
    )
    expected, found = streamed(shards), cache.batch(np.arange(23))
    assert found.key == expected.key
    assert found.label == expected.label
    assert torch.equal(found.latlon_deg, expected.latlon_deg)
    assert expected.image is not None
    assert found.feature is not None
    assert torch.equal(found.feature, pixels(expected.image).half().float())
    assert told[-1] == (23, 23)
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == [
        "features.npy",
        "meta.json",
        "samples.parquet",
    ]
    assert not (tmp_path / ".c.building").exists()


def test_killed_at_any_operation_on_files_it_goes_on_and_ends_with_the_same_bytes(
    make_shards: MakeShards, tmp_path: Path
):
    shards = make_shards(18, per_shard=4)
    (tmp_path / "t").mkdir()
    trials = program("kills", tmp_path / "t", shards, 2, 7)["trials"]
    assert len(trials) > 40
    assert [each["limit"] for each in trials if each["ended"] != -signal.SIGKILL] == []
    for each in trials:
        assert each["same"], each
        assert each["left"] == ["c"], each
        # Five shards, the last of two samples; a finished one is not read again. Two views.
        left = 2 * (18 - min(18, 4 * each["done"]))
        assert each["encoded"] == (0 if each["placed"] else left), each
    assert len({each["done"] for each in trials}) >= 4
    assert any(each["placed"] for each in trials)


def test_a_finished_shard_is_not_even_opened(make_shards: MakeShards, tmp_path: Path):
    shards = make_shards(16, per_shard=4)

    def dying(image: torch.Tensor) -> torch.Tensor:
        if len(list(tmp_path.glob(".c.building/part-*"))) == 2:
            raise KeyboardInterrupt
        return pixels(image)

    noted = list_shards(shards)
    with pytest.raises(KeyboardInterrupt):
        compute(tmp_path / "c", noted, encode=dying)
    with pytest.raises(DataError, match="no complete feature cache"):
        FeatureCache.open(tmp_path / ".c.building")
    straight = compute(tmp_path / "straight", noted).batch(np.arange(16))
    fingerprint = noted.fingerprint
    fixed = fingerprint()
    for name in ("00000.tar", "00001.tar"):
        (shards / name).write_bytes(b"")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(noted), "fingerprint", lambda _: fixed)
        calls: list[int] = []
        found = compute(tmp_path / "c", noted, encode=counting(calls)).batch(np.arange(16))
    assert calls == [4, 4]
    assert found.key == straight.key
    assert found.feature is not None
    assert straight.feature is not None
    assert torch.equal(found.feature, straight.feature)


@pytest.mark.parametrize("workers", [0, 2])
def test_two_processes_make_the_bytes_of_one(make_shards: MakeShards, tmp_path: Path, workers: int):
    shards = make_shards(22, per_shard=4)
    compute(tmp_path / "one", shards, views=2)
    (tmp_path / "t").mkdir()
    told = program("two", tmp_path / "t", shards, 2, workers)
    assert told["codes"] == [0, 0]
    assert [each["samples"] for each in told["told"]] == [22, 22]
    assert [each["encoded"] for each in told["told"]] == [2 * 12, 2 * 10]
    assert digests(tmp_path / f"t/two-{workers}") == digests(tmp_path / "one")


def test_lost_samples_leave_no_row_and_are_remembered(make_shards: MakeShards, tmp_path: Path):
    shards = make_shards(20, per_shard=5)
    damage(shards / "00000.tar", "k0001")
    damage(shards / "00002.tar", "k0014")
    with pytest.raises(LostSamplesError, match="1 of the 20 samples"):
        compute(tmp_path / "c", shards, max_lost_share=0.04)
    calls: list[int] = []
    with pytest.raises(LostSamplesError, match="2 of the 20 samples"):
        compute(tmp_path / "c", shards, max_lost_share=0.06, encode=counting(calls))
    assert sum(calls) == 9, "the first shard is not computed again, but what it lost counts"
    cache = compute(tmp_path / "c", shards, max_lost_share=0.1, views=1)
    keys = [f"k{i:04d}" for i in range(20) if i not in (1, 14)]
    found = cache.batch(np.arange(18))
    assert list(found.key) == keys
    whole = make_shards(20, per_shard=5, name="whole")
    clean = compute(tmp_path / "clean", whole).batch(np.array([int(key[1:]) for key in keys]))
    assert found.feature is not None
    assert clean.feature is not None
    assert torch.equal(found.feature, clean.feature)
    assert torch.equal(found.latlon_deg, clean.latlon_deg)
    FeatureCache.open(tmp_path / "c", verify=True)
    meta = json.loads((tmp_path / "c/meta.json").read_text())
    assert (meta["count"], sum(meta["lost"].values())) == (18, 2)
    assert np.load(tmp_path / "c/features.npy", mmap_mode="r").shape == (1, 18, 12)


def test_a_shard_that_gave_nothing_is_asked_again(make_shards: MakeShards, tmp_path: Path):
    shards = list_shards(make_shards(12, per_shard=4))
    away = Path(shards.urls[1]).rename(tmp_path / "away.tar")
    fixed = shards.fingerprint()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(shards), "fingerprint", lambda _: fixed)
        with pytest.raises(LostSamplesError, match="unreadable_shard 4"):
            compute(tmp_path / "c", shards)
        away.rename(shards.urls[1])
        calls: list[int] = []
        assert len(compute(tmp_path / "c", shards, encode=counting(calls))) == 12
    assert calls == [4, 4]


def test_shards_of_unknown_size_are_counted(make_shards: MakeShards, tmp_path: Path):
    shards = make_shards(11, per_shard=4)
    known = compute(tmp_path / "known", shards)
    for name in ("sizes.json", "checksums.json", "places.npy"):
        (shards / name).unlink()
    named = list_shards(shards)
    assert named.sizes == (None, None, None)
    assert room_for_samples(named, ShardOpener()) == (4, 4, 3)
    gone = replace(named, urls=(*named.urls[:2], "/no/such.tar"))
    assert room_for_samples(gone, ShardOpener()) == (4, 4, 0)
    cache = compute(tmp_path / "c", shards)
    assert cache.fingerprint["shards"] != known.fingerprint["shards"]
    files, others = digests(tmp_path / "c"), digests(tmp_path / "known")
    assert files.pop("meta.json") != others.pop("meta.json")
    assert files == others


def test_view_0_is_the_cache_of_one_view_and_the_others_are_those_of_training(
    make_shards: MakeShards, tmp_path: Path
):
    shards = make_shards(9, per_shard=4)
    compute(tmp_path / "one", shards)
    one = np.load(tmp_path / "one/features.npy")
    compute(tmp_path / "c", shards, views=3, seed=5)
    features = np.load(tmp_path / "c/features.npy")
    assert features.shape == (3, 9, 12)
    assert np.array_equal(features[0], one[0])
    for view in (1, 2):
        # A training stream varies an image by (seed, epoch, key): here the view is the epoch.
        stream = ShardStream(
            shards,
            ImagePreset(size=16),
            batch_size=9,
            shuffle_buffer=0,
            seed=5,
            augmentation=VARIED,
        )
        batch = next(stream.epoch(view))
        assert batch.image is not None
        order = np.argsort(batch.key)
        assert np.array_equal(features[view], pixels(batch.image).half().numpy()[order])
    assert len(np.unique(features.reshape(27, 12), axis=0)) == 27


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("preset", {"preset": ImagePreset(size=16, interpolation="bilinear")}),
        ("decoding", {"decoding": "fast"}),
        ("dtype", {"dtype": "float32"}),
        ("views", {"views": 3}),
        ("augmentation", {"augmentation": Augmentation(flip_probability=1.0)}),
        ("seed", {"seed": 6}),
        ("shards", {}),
    ],
)
def test_every_other_setting_is_refused_and_named(
    make_shards: MakeShards, tmp_path: Path, part: str, change: dict[str, Any]
):
    shards = make_shards(5, per_shard=3)
    cache = compute(tmp_path / "c", shards, views=2, seed=5)
    other = make_shards(6, per_shard=3, name="other") if part == "shards" else shards
    with pytest.raises(MismatchError, match=f"another (augmentation, seed, )?{part}:"):
        compute(tmp_path / "c", other, **({"views": 2, "seed": 5} | change))
    names = {folder_name(cache.fingerprint), folder_name(cache.fingerprint | {part: "x"})}
    assert len(names) == 2


def test_another_backbone_is_refused_and_what_it_began_is_not_used(
    make_shards: MakeShards, tmp_path: Path
):
    source = FeatureSource(
        shards=list_shards(make_shards(8, per_shard=4)), preset=ImagePreset(size=16), batch_size=4
    )

    def dying(image: torch.Tensor) -> torch.Tensor:
        if list(tmp_path.glob(".c.building/part-*")):
            raise KeyboardInterrupt
        return pixels(image)

    def encoder(name: str, encode: Callable[[torch.Tensor], torch.Tensor]) -> FeatureEncoder:
        return FeatureEncoder(encode=encode, fingerprint=name, feature_dim=12)

    with pytest.raises(KeyboardInterrupt):
        cached_features(tmp_path / "c", source, encoder("a", dying))
    calls: list[int] = []
    cached_features(tmp_path / "c", source, encoder("b", counting(calls)))
    assert calls == [4, 4]
    with pytest.raises(MismatchError, match="another backbone:"):
        cached_features(tmp_path / "c", source, encoder("c", pixels))


def test_rows_that_were_changed_after_they_were_written_are_found_and_made_anew(
    make_shards: MakeShards, tmp_path: Path
):
    shards = make_shards(12, per_shard=4)

    def spoiling(image: torch.Tensor) -> torch.Tensor:
        if list(tmp_path.glob(".c.building/part-000001*")):
            with (tmp_path / ".c.building/rows.npy").open("r+b") as stream:
                stream.seek(128 + 5 * 24)
                stream.write(b"\x01\x02")
        return pixels(image)

    with pytest.raises(DataError, match="shard 1 are not those that were written"):
        compute(tmp_path / "c", shards, encode=spoiling)
    calls: list[int] = []
    compute(tmp_path / "c", shards, encode=counting(calls))
    assert calls == [4]
    compute(tmp_path / "straight", shards)
    assert digests(tmp_path / "c") == digests(tmp_path / "straight")


@pytest.mark.parametrize("size", [3_000, 20_000])
def test_a_full_disk_is_one_clear_error_and_what_is_done_stays(
    make_records: Callable[..., list[Record]],
    tmp_path: Path,
    size: int,
    files_limited_to: Callable[..., Any],
):
    records = make_records(12)
    # The samples of the last shard do not fit, in the second case; in the first no features do.
    labels = [{"said": os.urandom(6_000).hex() if i >= 8 else ""} for i in range(12)]
    with ShardWriter(tmp_path / "shards", samples_per_shard=4) as writer:
        for record, label in zip(records, labels, strict=True):
            writer.write(replace(record, label=label))
    wide = {"preset": ImagePreset(size=16), "encode": pixels}
    with (
        files_limited_to(size if size > 10_000 else 300),
        pytest.raises(
            DataError, match=r"no room is left in .*: features of finished shards are kept"
        ),
    ):
        compute(tmp_path / "c", tmp_path / "shards", **wide)
    assert not (tmp_path / "c").exists()
    calls: list[int] = []
    compute(tmp_path / "c", tmp_path / "shards", encode=counting(calls))
    assert calls == ([4] if size > 10_000 else [4, 4, 4])
    compute(tmp_path / "straight", tmp_path / "shards")
    assert digests(tmp_path / "c") == digests(tmp_path / "straight")


def test_a_disk_that_is_too_small_is_told_before_anything_is_computed(
    make_shards: MakeShards, tmp_path: Path
):
    shards = list_shards(make_shards(4, per_shard=4))
    vast = replace(shards, sizes=(10**13,))
    with pytest.raises(DataError, match=r"has room for [\d,.]+ GB, the features need 240,000"):
        compute(tmp_path / "c", vast)


def test_another_run_that_computes_the_same_is_waited_for(make_shards: MakeShards, tmp_path: Path):
    shards = make_shards(8, per_shard=4)
    holder = (
        "import fcntl, sys, time; stream = open(sys.argv[1], 'wb'); "
        "fcntl.lockf(stream, fcntl.LOCK_EX); print('held', flush=True); sys.stdin.read()"
    )
    (tmp_path / ".c.building").mkdir()
    command = [sys.executable, "-c", holder, str(tmp_path / ".c.building/.lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        other.stdout.readline()
        calls: list[int] = []
        thread = threading.Thread(
            target=compute, args=(tmp_path / "c", shards), kwargs={"encode": counting(calls)}
        )
        thread.start()
        time.sleep(0.3)
        assert not calls
        # Meanwhile the other one has finished: its cache is opened, and nothing is computed.
        compute(tmp_path / "theirs", shards)
        (tmp_path / "theirs").rename(tmp_path / "c")
        other.stdin.close()
        thread.join(timeout=60)
    assert not thread.is_alive()
    assert not calls


def test_bad_input_is_refused_by_name(make_shards: MakeShards, tmp_path: Path):
    shards = make_shards(8, per_shard=4)
    twice = [str(shards / "00000.tar"), str(shards / "00001.tar"), str(shards / "00001.tar")]
    with pytest.raises(DataError, match=r"the key k000[4-7] comes twice"):
        compute(tmp_path / "a", twice)
    with pytest.raises(DataError, match="no sample to compute"):
        compute(tmp_path / "b", replace(list_shards(shards), sizes=(0, 0)))
    with pytest.raises(DataError, match="sample k0000 is not finite in float16"):
        compute(tmp_path / "c", shards, encode=lambda image: pixels(image) * 1e6)
    with pytest.raises(DataError, match=r"shape \(4, 5\) for 4 images x 12"):
        compute(tmp_path / "d", shards, encode=lambda image: pixels(image)[:, :5])
    for name in ("views", "batch_size"):
        with pytest.raises(ConfigError, match=f"{name} must be at least 1"):
            compute(tmp_path / "e", shards, **{name: 0})


def test_messages_never_reach_into_another_shard_and_views_come_in_turn(
    make_shards: MakeShards,
):
    source = FeatureSource(
        shards=list_shards(make_shards(11, per_shard=6)),
        preset=ImagePreset(size=16),
        batch_size=4,
        views=2,
        augmentation=VARIED,
    )

    def shape(shard: int) -> Iterator[tuple[int, int, int]]:
        for each in shard_images(source, shard):
            yield each.view, each.first, 0 if each.batch is None else len(each.batch)

    assert list(shape(0)) == [(0, 0, 4), (1, 0, 4), (0, 4, 2), (1, 4, 2), (0, 0, 0)]
    assert list(shape(1)) == [(0, 0, 4), (1, 0, 4), (0, 4, 1), (1, 4, 1), (0, 0, 0)]
