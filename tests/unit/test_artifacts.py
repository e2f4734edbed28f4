from __future__ import annotations

import hashlib

import pytest
from safetensors import SafetensorError

from geoloc.artifacts import (
    check_sha256,
    read_json,
    sha256_of,
    write_atomically,
    write_json,
)
from geoloc.cli import main
from geoloc.errors import DataError


def test_a_reader_that_has_the_old_file_open_keeps_it_whole(tmp_path):
    path = tmp_path / "deep" / "file"
    write_atomically(path, lambda temporary: temporary.write_text("old"))
    with path.open() as reader:
        write_atomically(path, lambda temporary: temporary.write_text("new and longer"))
        assert reader.read() == "old"
    assert path.read_text() == "new and longer"


def test_a_write_that_fails_half_way_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def half(temporary):
        temporary.write_text("ne")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_atomically(path, half)
    assert [child.read_text() for child in tmp_path.iterdir()] == ["old"]


def test_sha256_is_that_of_the_bytes(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"places")
    assert sha256_of(path) == hashlib.sha256(b"places").hexdigest()
    check_sha256(path, hashlib.sha256(b"places").hexdigest(), what="gallery")
    with pytest.raises(DataError, match="damaged"):
        check_sha256(path, "0" * 64, what="gallery")


def test_json_is_strict_and_an_object(tmp_path):
    path = tmp_path / "card.json"
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": float("nan")})
    assert not path.exists()
    write_json(path, {"name": "Curaçao"})
    assert read_json(path, what="card") == {"name": "Curaçao"}
    path.write_text("[1]")
    with pytest.raises(DataError, match="not a JSON object"):
        read_json(path, what="card")


def test_a_full_disk_under_safetensors_is_an_oserror_like_any_other(tmp_path):
    def full(temporary):
        raise SafetensorError("I/O error: No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_atomically(tmp_path / "file", full)
    assert list(tmp_path.iterdir()) == []


def test_an_oserror_ends_a_command_in_one_line(tmp_path, monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("geoloc.experiment.loading.load_config", full)
    assert main(["config", str(tmp_path / "any.yaml")]) == 2
    assert capsys.readouterr().err == "geoloc: No space left on device\n"
