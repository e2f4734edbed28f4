"""Remote files through faults: every byte as it lies there, or an error that says why not."""

from __future__ import annotations

import gzip
import random
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import fsspec
import pytest

from geoloc.data.ledger import LostSample
from geoloc.data.reading import RawSample, ShardReader
from geoloc.data.remote import RemoteStream, open_remote, read_remote
from geoloc.data.remote_connection import FileVersion
from geoloc.data.retries import RemoteError, RetryPolicy, plain_address
from geoloc.data.shard_list import list_shards
from geoloc.data.shard_opener import ShardOpener
from geoloc.data.shard_places import shard_places
from geoloc.data.sidecars import read_beside, read_checksums
from geoloc.data.verify import verify_shards
from geoloc.errors import DataError

SIZE = 700_001
COUNT = 12

# `serve`, `fault` and `told` stand in conftest.py.
Told = Callable[[], list[str]]


@pytest.fixture
def web(serve: Any, tmp_path: Path) -> Any:
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "file").write_bytes(random.Random(1).randbytes(SIZE))
    return serve(tmp_path / "web")


@pytest.fixture
def shards(serve: Any, make_shards: Callable[..., Path]) -> Any:
    return serve(make_shards(COUNT, per_shard=COUNT))


def fetch(web: Any, policy: RetryPolicy, **options: Any) -> tuple[bytes, int]:
    with RemoteStream(f"{web.url}/file?secret=1", policy, **options) as stream:
        return stream.read(), stream.retries


def failure(web: Any, policy: RetryPolicy, **options: Any) -> RemoteError:
    with pytest.raises(RemoteError) as raised:
        fetch(web, policy, **options)
    assert "secret" not in str(raised.value)
    return raised.value


def drain(stream: RemoteStream) -> tuple[bytes, RemoteError]:
    """What comes before the error, and the error."""
    data = b""
    while True:
        try:
            part = stream.read(10_000)
        except RemoteError as error:
            return data, error
        assert part, "the error does not come"
        data += part


def truth(web: Any) -> bytes:
    return (web.folder / "file").read_bytes()


def read(url: str, policy: RetryPolicy, expected: int | None) -> tuple[list[RawSample], list[Any]]:
    items = list(ShardReader(url, expected=expected, opener=ShardOpener(policy=policy)))
    given = [item for item in items if isinstance(item, RawSample)]
    return given, [item for item in items if isinstance(item, LostSample)]


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("tags", [True, False])
@pytest.mark.parametrize("keep", [0, 1, 70_000, SIZE - 1])
def test_a_dropped_connection_is_taken_up_where_it_stood(
    web: Any, quick: RetryPolicy, fault: Any, told: Told, keep: int, tags: bool, ranges: bool
) -> None:
    web.tags, web.ranges = tags, ranges
    web.faults["file"] = [fault(keep=keep)]
    data, retries = fetch(web, quick)
    assert data == truth(web)
    assert retries == 1
    assert web.starts("file") == [0, keep]
    (line,) = told()
    assert line.startswith(f"{web.url}/file at byte {keep:,}: {keep:,} of {SIZE:,} bytes came; ")
    assert "secret" not in line


def test_every_connection_is_dropped_and_each_brings_some(
    web: Any, quick: RetryPolicy, fault: Any
) -> None:
    web.always["file"] = fault(keep=70_000)
    data, retries = fetch(web, quick)
    assert data == truth(web)
    assert retries == 10 > quick.attempts
    assert web.starts("file") == list(range(0, SIZE, 70_000))


@pytest.mark.parametrize(("keep", "ranges"), [(0, True), (900, True), (70_000, False)])
def test_without_news_it_is_given_up(
    web: Any, quick: RetryPolicy, fault: Any, told: Told, keep: int, ranges: bool
) -> None:
    web.ranges = ranges
    web.always["file"] = fault(keep=keep)
    error = failure(web, quick)
    assert error.kind == "unreachable"
    assert "given up after 4 attempts" in str(error)
    assert len(told()) == 3
    # The failure that a stretch of news came before is the first of the row.
    assert web.count("file") == 4


def test_what_came_before_it_was_given_up_is_given(
    web: Any, quick: RetryPolicy, fault: Any
) -> None:
    web.faults["file"] = [fault(keep=300_000), *[fault(keep=0)] * 9]
    with RemoteStream(f"{web.url}/file", quick) as stream:
        data, error = drain(stream)
        assert data == truth(web)[:300_000]
        assert error.kind == "unreachable"
        assert stream.position == 300_000


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_an_outage_is_waited_for(
    web: Any, quick: RetryPolicy, fault: Any, told: Told, status: int
) -> None:
    web.faults["file"] = [fault(status=status)] * 3
    assert fetch(web, quick) == (truth(web), 3)
    assert [f"answers {status}" in line for line in told()] == [True] * 3
    web.faults["file"] = [fault(status=status)] * 4
    assert failure(web, quick).kind == "unreachable"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(404, "absent"), (410, "absent"), (400, "refused"), (401, "refused"), (403, "refused")],
)
def test_a_no_is_taken_at_once(
    web: Any, quick: RetryPolicy, fault: Any, told: Told, status: int, kind: str
) -> None:
    web.faults["file"] = [fault(status=status)]
    assert failure(web, quick).kind == kind
    assert web.count("file") == 1
    assert told() == []


def test_a_server_is_left_alone_for_as_long_as_it_asks(
    web: Any, quick: RetryPolicy, fault: Any, told: Told
) -> None:
    patient = RetryPolicy(first_wait_s=1e-4, longest_wait_s=0.05)
    in_a_while = formatdate(time.time() + 9, usegmt=True)
    web.faults["file"] = [
        fault(status=429, retry_after="1"),
        fault(status=503, retry_after=in_a_while),
    ]
    assert fetch(web, patient) == (truth(web), 2)
    assert [line.rpartition("; ")[2] for line in told()] == ["again in 0.05 s"] * 2
    for nonsense in ("", "soon", "-3", "Mon, 99 Foo 1 1:1:1"):
        web.faults["file"] = [fault(status=429, retry_after=nonsense)]
        assert fetch(web, quick) == (truth(web), 1)


def test_waits_grow_and_have_a_limit() -> None:
    policy = RetryPolicy(first_wait_s=1.0, factor=3.0, longest_wait_s=20.0)
    for failures, longest in ((1, 1), (2, 3), (3, 9), (4, 20), (5, 20), (5000, 20)):
        waits = [policy.wait_s(failures) for _ in range(200)]
        assert longest / 2 <= min(waits) < max(waits) <= longest
    assert policy.wait_s(1, asked_s=7.0) == 7.0
    assert policy.wait_s(1, asked_s=3600.0) == 20.0
    with pytest.raises(ValueError, match="impossible"):
        RetryPolicy(attempts=0)


def test_a_server_that_hangs_is_left(web: Any, fault: Any, told: Told) -> None:
    policy = RetryPolicy(attempts=3, first_wait_s=1e-4, timeout_s=0.2)
    web.faults["file"] = [fault(keep=200_000, hang=True)]
    assert fetch(web, policy) == (truth(web), 1)
    assert web.starts("file") == [0, 200_000]
    assert "timed out" in told()[0]


@pytest.mark.parametrize("tags", [True, False])
@pytest.mark.parametrize("ranges", [True, False])
def test_two_files_are_never_spliced(
    web: Any, quick: RetryPolicy, fault: Any, tags: bool, ranges: bool
) -> None:
    web.tags, web.ranges = tags, ranges
    web.faults["file"] = [fault(keep=300_000)]
    with RemoteStream(f"{web.url}/file", quick) as stream:
        got = stream.read(1000)
        # Without tags the length alone can tell.
        (web.folder / "file").write_bytes(random.Random(2).randbytes(SIZE - 1 + tags))
        rest, error = drain(stream)
        got += rest
    assert error.kind == "changed"
    assert random.Random(1).randbytes(SIZE).startswith(got)
    assert len(got) == 300_000


def test_a_file_that_has_become_shorter_than_where_we_stand(
    web: Any, quick: RetryPolicy, fault: Any
) -> None:
    version = FileVersion(length=SIZE)
    (web.folder / "file").write_bytes(b"short")
    assert failure(web, quick, position=9, version=version).kind == "changed"


def test_a_part_is_continued_and_a_whole_is_not_asked_for(web: Any, quick: RetryPolicy) -> None:
    version = FileVersion(length=SIZE)
    data, _ = fetch(web, quick, position=SIZE - 5, version=version)
    assert data == truth(web)[-5:]
    assert fetch(web, quick, position=SIZE, version=version) == (b"", 0)
    assert web.starts("file") == [SIZE - 5]


@pytest.mark.parametrize("size", [0, 1, 2])
def test_small_files_and_those_of_unknown_length(web: Any, quick: RetryPolicy, size: int) -> None:
    (web.folder / "file").write_bytes(b"x" * size)
    assert read_remote(f"{web.url}/file", quick) == b"x" * size
    web.lengths = False
    assert read_remote(f"{web.url}/file", quick) == b"x" * size


def test_two_bytes_come_at_once_though_the_first_comes_alone(
    web: Any, quick: RetryPolicy, fault: Any
) -> None:
    web.faults["file"] = [fault(keep=1)]
    with open_remote(f"{web.url}/file", quick) as stream:
        assert stream.peek(2)[:2] == truth(web)[:2]


def test_no_server_and_no_address(quick: RetryPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(RemoteError, match="given up after 4 attempts") as raised:
        read_remote("http://127.0.0.1:9/file", quick)
    assert raised.value.kind == "unreachable"
    with pytest.raises(RemoteError) as raised:
        read_remote("http://127.0.0.1:port/file", quick)
    assert raised.value.kind == "unsupported"
    assert plain_address("https://me:pass@host:8/a/b?token=1#x") == "https://host:8/a/b"


def test_shards_through_every_fault_are_what_lies_there(
    shards: Any, quick: RetryPolicy, fault: Any
) -> None:
    local, _ = read(str(shards.folder / "00000.tar"), quick, COUNT)
    size = (shards.folder / "00000.tar").stat().st_size
    faults = [
        [],
        [fault(keep=size // 2)],
        [fault(keep=size // 3), fault(keep=512), fault(keep=1)],
        [fault(status=503), fault(keep=4000), fault(status=429)],
    ]
    for given in faults:
        shards.faults["00000.tar"] = list(given)
        remote, lost = read(f"{shards.url}/00000.tar", quick, COUNT)
        assert remote == local
        assert lost == []
        assert shards.faults["00000.tar"] == []


def test_shards_given_up_are_accounted_for(
    shards: Any, quick: RetryPolicy, fault: Any, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.tar"
    url, size = f"{shards.url}/00000.tar", (shards.folder / "00000.tar").stat().st_size
    for keep in range(512, size, size // 9 + 100):
        shards.faults["00000.tar"] = [fault(keep=keep), *[fault(keep=0)] * 9]
        given, lost = read(url, quick, COUNT)
        assert len(given) + sum(item.count for item in lost) == COUNT
        # As if the shard ended there.
        cut.write_bytes((shards.folder / "00000.tar").read_bytes()[:keep])
        local, local_lost = read(str(cut), quick, COUNT)
        assert [item.key for item in given] == [item.key for item in local]
        assert [(item.kind, item.key) for item in lost] == [
            (item.kind, item.key) for item in local_lost
        ]
        assert all("given up" in item.detail for item in lost if item.kind == "vanished")
    for never, words in (
        (fault(status=404), "the server answers 404"),
        (fault(status=503), "given up after 4 attempts: the server answers 503"),
        (fault(keep=0), "given up after 4 attempts: 0 of"),
    ):
        shards.faults["00000.tar"] = [never] * 9
        given, lost = read(url, quick, COUNT)
        assert [(item.kind, item.count) for item in lost] == [("unreadable_shard", COUNT)]
        assert words in lost[0].detail


def test_packed_shards_through_a_fault(shards: Any, quick: RetryPolicy, fault: Any) -> None:
    packed = gzip.compress((shards.folder / "00000.tar").read_bytes())
    (shards.folder / "00000.tar").write_bytes(packed)
    shards.faults["00000.tar"] = [fault(keep=1), fault(keep=len(packed) // 2)]
    given, lost = read(f"{shards.url}/00000.tar", quick, COUNT)
    assert (len(given), lost) == (COUNT, [])


def test_files_beside_shards_are_absent_or_unreachable_and_never_confused(
    shards: Any, quick: RetryPolicy, fault: Any, told: Told
) -> None:
    url = f"{shards.url}/00000.tar"
    shards.faults["sizes.json"] = [fault(status=503), fault(keep=3)]
    assert list_shards(url, policy=quick).sizes == (COUNT,)
    assert shards.faults["sizes.json"] == []
    shards.always["sizes.json"] = fault(status=404)
    assert list_shards(url, policy=quick).sizes == (None,)
    assert len(told()) == 2
    shards.always["sizes.json"] = fault(status=403)
    assert list_shards(url, policy=quick).sizes == (None,)
    assert "taken for a file that is not there" in told()[2]
    for lasting in (fault(status=500), fault(keep=3)):
        shards.always["sizes.json"] = lasting
        with pytest.raises(DataError, match=r"sizes\.json beside the shards cannot be read"):
            list_shards(url, policy=quick)


@pytest.fixture
def memory(make_shards: Callable[..., Path]) -> Iterator[tuple[Path, str]]:
    folder = make_shards(2 * COUNT, per_shard=COUNT)
    system = fsspec.filesystem("memory")
    system.put(str(folder), "/bucket", recursive=True)
    yield folder, "memory://bucket"
    system.rm("/bucket", recursive=True)


def test_schemes_that_fsspec_knows(memory: tuple[Path, str], quick: RetryPolicy) -> None:
    folder, bucket = memory
    remote = list_shards(f"{bucket}/{{00000..00001}}.tar", policy=quick)
    assert remote.sizes == (COUNT, COUNT)
    assert remote.fingerprint() == list_shards(folder).fingerprint()
    assert shard_places(remote).tolist() == shard_places(list_shards(folder)).tolist()
    assert read_checksums(bucket) == read_checksums(str(folder))
    local, _ = read(str(folder / "00001.tar"), quick, COUNT)
    assert read(f"{bucket}/00001.tar", quick, COUNT) == (local, [])
    assert read(f"file://{folder}/00001.tar", quick, COUNT) == (local, [])
    assert verify_shards(f"{bucket}/{{00000..00001}}.tar").valid == 2 * COUNT
    assert read_beside(bucket, "nothing.json", policy=quick) is None
    (missing,) = read(f"{bucket}/9.tar", quick, 3)[1]
    assert (missing.kind, missing.count) == ("unreadable_shard", 3)
    with RemoteStream(f"{bucket}/00001.tar", quick, position=700) as stream:
        assert stream.read() == (folder / "00001.tar").read_bytes()[700:]
    version = FileVersion(length=700_000)
    with pytest.raises(RemoteError, match="another file") as raised:
        RemoteStream(f"{bucket}/00001.tar", quick, position=700, version=version)
    assert raised.value.kind == "changed"


class _Failing(fsspec.AbstractFileSystem):
    """A file system whose connection breaks after some bytes of each opened file."""

    protocol = "failing"
    data = random.Random(3).randbytes(SIZE)
    keep = 150_000
    opened: list[Any]
    cachable = False

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        return {"name": path, "size": SIZE, "type": "file", "ETag": "a"}

    def _open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        return _Breaking()


class _Breaking:
    opened = 0

    def __init__(self) -> None:
        type(self).opened += 1
        self.at, self.left = 0, _Failing.keep

    def seek(self, position: int) -> None:
        self.at = position

    def read(self, size: int) -> bytes:
        if not self.left:
            # Libraries of storages raise errors of their own, which are no OSError.
            raise RuntimeError("the connection broke")
        part = _Failing.data[self.at : self.at + min(size, self.left)]
        self.at, self.left = self.at + len(part), self.left - len(part)
        return part

    def close(self) -> None:
        pass


def test_a_storage_whose_connection_breaks(quick: RetryPolicy, told: Told) -> None:
    fsspec.register_implementation("failing", _Failing, clobber=True)
    assert read_remote("failing://bucket/file", quick) == _Failing.data
    assert _Breaking.opened == 5
    assert len(told()) == 4
    assert "RuntimeError: the connection broke" in told()[0]


@pytest.mark.parametrize(
    ("scheme", "words"),
    [
        pytest.param(
            "s3",
            r"pip install 'geoloc\[remote\]'",
            marks=pytest.mark.skipif(find_spec("s3fs") is not None, reason="s3fs is here"),
        ),
        ("nosuch", "Protocol not known"),
    ],
)
def test_schemes_without_a_library_name_the_cure(
    quick: RetryPolicy, scheme: str, words: str
) -> None:
    url = f"{scheme}://bucket/0.tar"
    with pytest.raises(DataError, match=words):
        list_shards(url, policy=quick)
    (lost,) = read(url, quick, 7)[1]
    assert (lost.kind, lost.count) == ("unreadable_shard", 7)


def test_only_a_pipe_runs_a_command(tmp_path: Path, quick: RetryPolicy) -> None:
    """Stock webdataset fetches gs:// and others by programs that it starts."""
    for scheme in ("gs", "ais", "htgs", "shell", "zip::file"):
        with pytest.raises(RemoteError):
            read_remote(f"{scheme}://$(touch {tmp_path}/trace)/`touch {tmp_path}/trace`", quick)
    assert not (tmp_path / "trace").exists()
