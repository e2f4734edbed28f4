"""The cache of remote shards: each downloaded once, whole or not there, under its limit."""

from __future__ import annotations

import multiprocessing
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import fsspec
import pytest

from geoloc.data.ledger import LostSample
from geoloc.data.reading import RawSample, ShardReader
from geoloc.data.retries import RemoteError, RetryPolicy
from geoloc.data.shard_cache import ShardCache
from geoloc.data.shard_opener import ShardOpener
from geoloc.data.sidecars import CHECKSUMS_FILE
from geoloc.data.stream import ShardStream
from geoloc.errors import DataError, LostSamplesError
from geoloc.models.image_encoder import ImagePreset

SIZE = 600_000
COUNT, PER_SHARD = 40, 5

# `serve`, `fault` and `told` stand in conftest.py.
Told = Callable[[], list[str]]


@pytest.fixture
def web(serve: Any, tmp_path: Path) -> Any:
    """Files of which nothing is noted."""
    (tmp_path / "web").mkdir()
    for name in "abcd":
        (tmp_path / "web" / name).write_bytes(random.Random(name).randbytes(SIZE))
    return serve(tmp_path / "web")


@pytest.fixture
def shards(serve: Any, make_shards: Callable[..., Path]) -> Any:
    """Shards with checksums.json."""
    return serve(make_shards(COUNT, per_shard=PER_SHARD))


@pytest.fixture
def cache(tmp_path: Path) -> ShardCache:
    return ShardCache(tmp_path / "cache")


def kept(cache: ShardCache) -> list[str]:
    return sorted(path.name.split("-", 1)[1] for path in cache.folder.iterdir())


def fetch(cache: ShardCache, web: Any, name: str, policy: RetryPolicy) -> bytes:
    with cache.open(f"{web.url}/{name}", policy) as stream:
        return stream.read()


def truth(web: Any, name: str) -> bytes:
    return (web.folder / name).read_bytes()


def lose_or_keep(url: str, opener: ShardOpener) -> tuple[list[str], list[tuple[str, int]]]:
    items = list(ShardReader(url, expected=PER_SHARD, opener=opener))
    given = [item.key for item in items if isinstance(item, RawSample)]
    return given, [(item.kind, item.count) for item in items if isinstance(item, LostSample)]


def test_a_shard_is_downloaded_once_and_read_from_the_disk(
    web: Any, cache: ShardCache, quick: RetryPolicy
) -> None:
    for _ in range(3):
        assert fetch(cache, web, "a", quick) == truth(web, "a")
    assert fetch(ShardCache(cache.folder), web, "a", quick) == truth(web, "a")
    assert web.count("a") == 1
    with cache.open(f"{web.url}/a", quick) as stream:
        assert stream.seekable()
        assert Path(f"/dev/fd/{stream.fileno()}").readlink().parent == cache.folder
    assert kept(cache) == ["a"]
    # An address that asks for something else is another file.
    assert fetch(cache, web, "a?page=2", quick) == truth(web, "a")
    assert web.count("a") == 2


def test_a_broken_download_is_gone_on_with(
    web: Any, cache: ShardCache, quick: RetryPolicy, fault: Any
) -> None:
    web.faults["a"] = [fault(keep=200_000), *[fault(status=503)] * 3]
    with pytest.raises(RemoteError, match="given up"):
        fetch(cache, web, "a", quick)
    assert kept(cache) == ["a.part", "a.part.json"]
    assert fetch(cache, web, "a", quick) == truth(web, "a")
    assert web.starts("a") == [0, *[200_000] * 4]
    assert kept(cache) == ["a"]


@pytest.mark.parametrize("tags", [True, False])
def test_a_download_of_a_file_that_changed_begins_anew(
    web: Any, cache: ShardCache, quick: RetryPolicy, fault: Any, tags: bool
) -> None:
    web.tags = tags
    web.faults["a"] = [fault(keep=200_000), *[fault(status=503)] * 3]
    with pytest.raises(RemoteError):
        fetch(cache, web, "a", quick)
    (web.folder / "a").write_bytes(random.Random(5).randbytes(SIZE))
    assert fetch(cache, web, "a", quick) == truth(web, "a")
    # Where nothing would tell the two apart, what came of the first is not used at all.
    assert web.starts("a")[4:] == ([200_000, 0] if tags else [0])


def test_a_file_that_changes_on_the_way_begins_anew(
    web: Any, cache: ShardCache, quick: RetryPolicy, fault: Any
) -> None:
    def change() -> None:
        (web.folder / "a").write_bytes(bytes(300_000))

    web.faults["a"] = [fault(keep=200_000, then=change)]
    assert fetch(cache, web, "a", quick) == bytes(300_000)
    assert web.starts("a") == [0, 200_000, 0]


def test_damage_on_the_way_is_seen_and_downloaded_again(
    shards: Any, cache: ShardCache, quick: RetryPolicy, fault: Any, told: Told
) -> None:
    shards.faults["00000.tar"] = [fault(flip=9000)]
    assert fetch(cache, shards, "00000.tar", quick) == truth(shards, "00000.tar")
    assert shards.starts("00000.tar") == [0, 0]
    assert "its SHA-256 is not the one in checksums.json; downloading again" in told()[0]


def test_damage_that_stays_is_an_unreadable_shard(
    shards: Any, cache: ShardCache, quick: RetryPolicy, fault: Any
) -> None:
    opener = ShardOpener(policy=quick, cache=cache)
    shards.always["00000.tar"] = fault(flip=9000)
    given, lost = lose_or_keep(f"{shards.url}/00000.tar", opener)
    assert (given, lost) == ([], [("unreadable_shard", PER_SHARD)])
    assert shards.count("00000.tar") == 2
    assert kept(cache) == []
    (shards.folder / "00001.tar").write_bytes(truth(shards, "00001.tar")[:-512])
    assert lose_or_keep(f"{shards.url}/00001.tar", opener)[1] == [("unreadable_shard", PER_SHARD)]


def test_a_kept_file_of_another_length_is_fetched_anew(
    shards: Any, cache: ShardCache, quick: RetryPolicy
) -> None:
    fetch(cache, shards, "00000.tar", quick)
    (path,) = cache.folder.iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    assert fetch(cache, shards, "00000.tar", quick) == truth(shards, "00000.tar")


def test_a_noted_shard_that_was_written_anew_is_another_one(
    shards: Any, cache: ShardCache, make_shards: Callable[..., Path], quick: RetryPolicy
) -> None:
    old = fetch(cache, shards, "00000.tar", quick)
    shards.folder = make_shards(COUNT, per_shard=PER_SHARD, name="new", side=32)
    fresh = ShardCache(cache.folder)
    assert fetch(fresh, shards, "00000.tar", quick) == truth(shards, "00000.tar") != old
    # Whoever began with the old ones goes on with them.
    assert fetch(cache, shards, "00000.tar", quick) == old


def test_names_that_a_server_notes_lead_nowhere_else(
    shards: Any, cache: ShardCache, quick: RetryPolicy
) -> None:
    evil = '{"00000.tar": {"bytes": 3, "sha256": "../../../evil", "samples": 1}}'
    (shards.folder / CHECKSUMS_FILE).write_text(evil)
    with pytest.raises(RemoteError, match=r"checksums.json notes 3"):
        fetch(cache, shards, "00000.tar", quick)
    assert list(cache.folder.parent.rglob("*evil*")) == []


def test_checksums_are_asked_for_once(shards: Any, cache: ShardCache, quick: RetryPolicy) -> None:
    opener = ShardOpener(policy=quick, cache=cache)
    opener.prepare([f"{shards.url}/{n:05}.tar" for n in range(8)])
    for n in range(8):
        assert lose_or_keep(f"{shards.url}/{n:05}.tar", opener)[1] == []
    assert shards.count(CHECKSUMS_FILE) == 1


def test_nobody_can_tell_whether_checksums_are_there(
    shards: Any, cache: ShardCache, quick: RetryPolicy, fault: Any
) -> None:
    shards.always[CHECKSUMS_FILE] = fault(status=500)
    with pytest.raises(DataError, match=r"checksums\.json beside the shards cannot be read"):
        ShardOpener(policy=quick, cache=cache).prepare([f"{shards.url}/00000.tar"])


def test_what_was_used_longest_ago_is_removed(web: Any, tmp_path: Path, quick: RetryPolicy) -> None:
    cache = ShardCache(tmp_path / "cache", limit_gb=2.5 * SIZE / 1e9)
    cache.folder.mkdir()
    (cache.folder / "of somebody else").write_bytes(bytes(3 * SIZE))
    for name in ("a", "b", "a", "c"):
        assert fetch(cache, web, name, quick) == truth(web, name)
    (cache.folder / "of somebody else").unlink()
    assert kept(cache) == ["a", "c"]
    fetch(cache, web, "a", quick)
    assert [web.count(name) for name in "abc"] == [1, 1, 1]
    fetch(cache, web, "b", quick)
    assert kept(cache) == ["a", "b"]


def test_what_is_being_read_is_not_removed(web: Any, tmp_path: Path, quick: RetryPolicy) -> None:
    cache = ShardCache(tmp_path / "cache", limit_gb=1.5 * SIZE / 1e9)
    with cache.open(f"{web.url}/a", quick) as stream:
        assert stream.read(1000) == truth(web, "a")[:1000]
        for name in "bcd":
            assert fetch(cache, web, name, quick) == truth(web, name)
        assert kept(cache) == ["a", "d"]
        assert stream.read() == truth(web, "a")[1000:]
    fetch(cache, web, "b", quick)
    assert kept(cache) == ["b"]


def test_a_shard_beyond_the_limit_is_streamed(
    web: Any, tmp_path: Path, quick: RetryPolicy, told: Told
) -> None:
    cache = ShardCache(tmp_path / "cache", limit_gb=0.9 * SIZE / 1e9)
    for _ in range(2):
        assert fetch(cache, web, "a", quick) == truth(web, "a")
    assert kept(cache) == []
    (line,) = told()
    assert "600,000 bytes are more than its limit; streaming instead" in line


def test_a_full_disk_is_no_loss(
    web: Any, cache: ShardCache, quick: RetryPolicy, told: Told
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE // 2, before[1]))
    try:
        for name in "ab":
            assert fetch(cache, web, name, quick) == truth(web, name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert kept(cache) == []
    (line,) = told()
    assert "File too large; streaming instead" in line
    (cache.folder.parent / "file").write_bytes(b"")
    blocked = ShardCache(cache.folder.parent / "file")
    assert fetch(blocked, web, "a", quick) == truth(web, "a")
    assert fetch(cache, web, "a", quick) == truth(web, "a")
    assert kept(cache) == ["a"]


def _fetch_with_others(folder: Path, url: str, start: Any, found: Any) -> None:
    start.wait()
    with ShardCache(folder).open(url, RetryPolicy(timeout_s=20.0)) as stream:
        found.put(stream.read())


# Ours start no thread and take no lock of the server's.
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork")
def test_processes_at_once_download_once(web: Any, cache: ShardCache) -> None:
    context = multiprocessing.get_context("fork")
    start, found = context.Barrier(3), context.Queue()
    target = (cache.folder, f"{web.url}/a", start, found)
    processes = [context.Process(target=_fetch_with_others, args=target) for _ in range(3)]
    for process in processes:
        process.start()
    assert [found.get(timeout=60) == truth(web, "a") for _ in processes] == [True] * 3
    for process in processes:
        process.join()
    assert web.count("a") == 1
    assert kept(cache) == ["a"]


def test_a_dead_downloader_is_in_nobodys_way(
    web: Any, cache: ShardCache, quick: RetryPolicy, fault: Any
) -> None:
    web.faults["a"] = [fault(keep=400_000, hang=True)]
    code = (
        "import sys; from pathlib import Path; from geoloc.data.retries import RetryPolicy\n"
        "from geoloc.data.shard_cache import ShardCache\n"
        "ShardCache(Path(sys.argv[1])).open(sys.argv[2], RetryPolicy())\n"
    )
    first = subprocess.Popen([sys.executable, "-c", code, str(cache.folder), f"{web.url}/a"])
    end = time.monotonic() + 60
    while not any(path.stat().st_size > 300_000 for path in cache.folder.glob("*.part")):
        assert time.monotonic() < end
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert fetch(cache, web, "a", quick) == truth(web, "a")
    begun, gone_on = web.starts("a")
    assert begun == 0
    assert gone_on > 300_000
    assert kept(cache) == ["a"]


def test_files_of_fsspec_are_kept_too(cache: ShardCache, quick: RetryPolicy) -> None:
    system = fsspec.filesystem("memory")
    system.pipe("/kept/x.tar", b"bytes")
    for _ in range(2):
        with cache.open("memory://kept/x.tar", quick) as stream:
            assert stream.read() == b"bytes"
        system.pipe("/kept/x.tar", b"other")
    assert kept(cache) == ["x.tar"]
    system.rm("/kept", recursive=True)


def test_an_opener_travels_with_what_it_has_learned(
    shards: Any, cache: ShardCache, quick: RetryPolicy
) -> None:
    opener = ShardOpener(policy=quick, cache=cache)
    opener.prepare([f"{shards.url}/00000.tar"])
    there = ForkingPickler.loads(ForkingPickler.dumps(opener))
    assert there == opener
    assert lose_or_keep(f"{shards.url}/00000.tar", there)[1] == []
    assert shards.count(CHECKSUMS_FILE) == 1


def test_training_through_the_cache_is_training_from_the_folder(
    shards: Any, cache: ShardCache, quick: RetryPolicy, preset: ImagePreset
) -> None:
    def stream(source: Path | str) -> ShardStream:
        return ShardStream(
            source,
            preset,
            batch_size=3,
            workers=2,
            shuffle_buffer=7,
            opener=ShardOpener(policy=quick, cache=cache),
        )

    def keys(source: ShardStream, epoch: int) -> list[tuple[str, ...]]:
        return [batch.key for batch in source.epoch(epoch)]

    remote, local = stream(f"{shards.url}/{{00000..00007}}.tar"), stream(shards.folder)
    for epoch in range(2):
        assert keys(remote, epoch) == keys(local, epoch)
    assert all(shards.count(f"{n:05}.tar") == 1 for n in range(8))
    assert remote.ledger.seen == remote.ledger.valid == COUNT
    whole = keys(local, 1)
    begun = stream(f"{shards.url}/{{00000..00007}}.tar")
    batches = begun.epoch(1)
    first = [next(batches).key for _ in range(4)]
    state = begun.state()
    batches.close()  # type: ignore[attr-defined]
    # The server is no longer needed for what is kept.
    resumed = stream(f"{shards.url}/{{00000..00007}}.tar")
    resumed.restore(state)
    shards.folder = shards.folder.parent
    assert first + keys(resumed, 1) == whole


def test_training_ends_when_a_server_does(
    shards: Any, cache: ShardCache, quick: RetryPolicy, preset: ImagePreset, fault: Any
) -> None:
    for name in ("00003.tar", "00006.tar"):
        shards.always[name] = fault(status=500)
    stream = ShardStream(
        f"{shards.url}/{{00000..00007}}.tar",
        preset,
        batch_size=3,
        opener=ShardOpener(policy=quick, cache=cache),
        max_lost_share=0.5,
    )
    given = sum(len(batch.key) for batch in stream.epoch(0))
    assert given + stream.ledger.left_out == COUNT - 2 * PER_SHARD
    assert stream.ledger.by_kind == {"unreadable_shard": 2 * PER_SHARD}
    stream.max_lost_share = 0.1
    with pytest.raises(LostSamplesError):
        list(stream.epoch(1))
