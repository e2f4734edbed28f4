"""Files of lines: gone on with after any tear, refused for another query, never half a line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geoloc.errors import ConfigError, DataError
from geoloc.inference.answer_lines import AnswerLines, FileKey, header_text, line_text

QUERY = {"model": "abc", "top_k": 5, "exif": "ignore"}


def key_of(number: int) -> FileKey:
    return FileKey(path=f"photos/{number}.jpg", size_bytes=10, modified_ns=number)


def add(lines: AnswerLines, key: FileKey) -> None:
    content = {"path": key.path, "size_bytes": key.size_bytes, "modified_ns": key.modified_ns}
    lines.append({"file": content, "answer": {"source": key.path, "name": "Zürich\n"}}, key=key)


def write(path: Path, numbers: range, *, resume: bool = False) -> None:
    lines = AnswerLines(path, QUERY, resume=resume)
    for number in numbers:
        if not lines.is_done(key_of(number)):
            add(lines, key_of(number))
    lines.close()


def paths_in(path: Path) -> list[str]:
    return [json.loads(line)["file"]["path"] for line in path.read_text().splitlines()[1:]]


@given(cut=st.integers(0, 10_000))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_torn_anywhere_ends_with_every_image_once(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.jsonl"
    path.unlink(missing_ok=True)
    write(path, range(6))
    whole = path.read_bytes()
    size = cut % (len(whole) + 1)
    path.write_bytes(whole[:size])
    if 0 < size < len('{"schema_version": 2, "query": '):
        # Too little to be told from somebody else's.
        with pytest.raises(DataError, match="name another file"):
            write(path, range(8), resume=True)
        assert path.read_bytes() == whole[:size]
        return
    kept = {line for line in whole[:size].split(b"\n")[1:-1] if line}
    write(path, range(8), resume=True)
    # Whole lines are left as they were, and none of them comes again.
    assert (
        path.read_bytes().split(b"\n")[1 : len(kept) + 1] == whole.split(b"\n")[1 : len(kept) + 1]
    )
    assert paths_in(path) == [f"photos/{number}.jpg" for number in range(8)]


def test_a_file_that_changed_is_another(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "a.jsonl"
    write(path, range(2))
    lines = AnswerLines(path, QUERY, resume=True)
    assert lines.is_done(key_of(1))
    assert not lines.is_done(FileKey(path="photos/1.jpg", size_bytes=11, modified_ns=1))
    assert not lines.is_done(FileKey(path="photos/1.jpg", size_bytes=10, modified_ns=2))
    # Named from another folder it is the same.
    absolute = str(Path.cwd() / "photos" / "1.jpg")
    assert lines.is_done(FileKey(path=absolute, size_bytes=10, modified_ns=1))
    lines.close()
    monkeypatch.chdir(tmp_path)
    lines = AnswerLines(path, QUERY, resume=True)
    assert lines.is_done(FileKey(path=absolute, size_bytes=10, modified_ns=1))
    assert not lines.is_done(key_of(1))
    lines.close()


def test_key_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(b"12345")
    os.utime(file, ns=(5, 7_000_000_001))
    assert FileKey.of(file) == FileKey(
        path=str(file), size_bytes=5, modified_ns=file.stat().st_mtime_ns
    )
    assert FileKey.of(tmp_path / "none") == FileKey(path=str(tmp_path / "none"))
    assert FileKey.of(tmp_path / ("a" * 5000)).size_bytes is None


def test_another_query_is_refused_by_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write(path, range(2))
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r'top_k was 5 and is 3; exif was "ignore" and is "skip"'):
        AnswerLines(path, QUERY | {"top_k": 3, "exif": "skip"}, resume=True)
    with pytest.raises(ConfigError, match=r"csls was null and is true"):
        AnswerLines(path, QUERY | {"csls": True}, resume=True)
    with pytest.raises(ConfigError, match="--resume"):
        AnswerLines(path, QUERY, resume=False)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"my notes\n", b"my notes without an end", b'{"step": 1}\n', b"\n", b"{"]
)
def test_a_file_of_somebody_elses_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match="name another file"):
        AnswerLines(path, QUERY, resume=True)
    assert path.read_bytes() == content


@pytest.mark.parametrize("more", [b'5, "folder": "/"', b'{"top_k": 5}', b'{}, "folder": 5'])
def test_a_damaged_first_line_is_named(tmp_path: Path, more: bytes) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"schema_version": 2, "query": ' + more + b"}\n")
    with pytest.raises(DataError, match="line 1 is damaged"):
        AnswerLines(path, QUERY, resume=True)


@pytest.mark.parametrize("damage", [b"{\n", b'{"answer": {}}\n', b"[]\n", b'{"file": {"x": 1}}\n'])
def test_a_damaged_line_before_the_last_is_named(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "a.jsonl"
    write(path, range(2))
    head, first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(head + first + damage + second)
    with pytest.raises(DataError, match="line 3 is damaged"):
        AnswerLines(path, QUERY, resume=True)


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = AnswerLines(path, QUERY, resume=False)
    with pytest.raises(ConfigError, match="another process"):
        AnswerLines(path, QUERY, resume=True)
    lines.close()
    AnswerLines(path, QUERY, resume=True).close()


def test_a_full_disk_takes_a_line_whole_or_not_at_all(tmp_path: Path, files_limited_to) -> None:
    path = tmp_path / "a.jsonl"
    lines = AnswerLines(path, QUERY, resume=False)
    add(lines, key_of(0))
    size = path.stat().st_size
    with files_limited_to(size + 20), pytest.raises(OSError, match="large"):
        add(lines, key_of(1))
    assert path.stat().st_size == size
    assert not lines.is_done(key_of(1))
    add(lines, key_of(1))
    lines.close()
    assert paths_in(path) == ["photos/0.jpg", "photos/1.jpg"]


def test_names_that_are_no_unicode_come_back() -> None:
    line = line_text({"path": "\udcff\n.jpg"})
    assert line.count("\n") == 1
    assert json.loads(line.encode())["path"] == "\udcff\n.jpg"
    assert json.loads(header_text(QUERY))["query"] == QUERY
