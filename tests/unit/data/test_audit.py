"""Planted leaks are found, each once, and near hashes are those of a loop over all pairs."""

from __future__ import annotations

import builtins
import io
import json
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from geoloc.cli import main
from geoloc.data import near_hashes
from geoloc.data.audit import audit
from geoloc.data.audit_report import LeakLimits
from geoloc.data.audit_set import read_audit_set
from geoloc.data.encoded_image import EncodedImage
from geoloc.data.near_hashes import chance_pairs, nearest_hashes
from geoloc.data.perceptual_hash import perceptual_hash
from geoloc.data.record import Record
from geoloc.data.shards import ShardWriter
from geoloc.errors import ConfigError


def landscape(seed: int, side: int = 240) -> Image.Image:
    """Hills of several sizes, as photographs have them."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((side, side, 3))
    for cells in (3, 7, 16, 40):
        coarse = rng.uniform(-1, 1, (cells, cells, 3)) / cells**0.7
        layers = [
            Image.fromarray(coarse[..., band].astype(np.float32)).resize((side, side), 3)
            for band in range(3)
        ]
        picture += np.stack([np.asarray(layer) for layer in layers], axis=-1)
    low, high = picture.min(), picture.max()
    return Image.fromarray(((picture - low) / (high - low) * 255).astype(np.uint8))


def jpeg(image: Image.Image, quality: int = 92) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def look(data: bytes) -> int:
    found = perceptual_hash(EncodedImage(data))
    assert found is not None
    return found


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6), queries=st.integers(0, 12), candidates=st.integers(0, 200),
    within=st.integers(0, 9), bands=st.integers(4, 8),
)  # fmt: skip
def test_near_hashes_are_those_of_a_loop(seed, queries, candidates, within, bands):
    rng = np.random.default_rng(seed)
    known = rng.integers(0, 2**64, candidates, dtype=np.uint64)
    known = np.concatenate([known, known[: candidates // 4]])
    asked = rng.integers(0, 2**64, queries, dtype=np.uint64)
    for row in range(0, queries if candidates else 0, 2):
        flips = rng.choice(64, int(rng.integers(0, within + 3)), replace=False)
        change = np.bitwise_or.reduce(np.uint64(1) << flips.astype(np.uint64), initial=np.uint64(0))
        asked[row] = known[rng.integers(len(known))] ^ change
    plan = near_hashes._plan(bands, within)
    with mock.patch.object(near_hashes, "_bands", return_value=plan):
        index, distance = nearest_hashes(asked, known, within=within)
    again = nearest_hashes(asked, known, within=within)
    assert (index == again[0]).all()
    assert (distance == again[1]).all()
    for row, value in enumerate(asked.tolist()):
        far = [(value ^ other).bit_count() for other in known.tolist()]
        best = min(far, default=99)
        assert distance[row] == (best if best <= within else -1)
        assert index[row] == (far.index(best) if best <= within else -1)


def test_many_equal_hashes_fit_into_memory(monkeypatch):
    monkeypatch.setattr("geoloc.data.near_hashes._AT_ONCE", 100)
    rng = np.random.default_rng(1)
    # Most share their lowest band, so most queries meet most candidates.
    known = rng.integers(0, 2**40, 500, dtype=np.uint64) << np.uint64(24)
    known[50:] |= np.uint64(0x900)
    asked = known[::7] ^ np.uint64(1)
    index, distance = nearest_hashes(asked, known, within=1)
    assert (known[index] ^ asked == 1).all()
    assert (distance == 1).all()
    with pytest.raises(ValueError, match="within must lie in 0 to 16"):
        nearest_hashes(asked, known, within=17)


def test_ranges_in_pieces(monkeypatch):
    begin, end = np.array([4, 0, 7, 2, 9]), np.array([9, 0, 8, 6, 15])
    expected = [(row, at) for row in range(5) for at in range(begin[row], end[row])]
    for at_once in (1, 3, 7, 100):
        monkeypatch.setattr("geoloc.data.near_hashes._AT_ONCE", at_once)
        pieces = list(near_hashes._ranges(begin, end))
        found = [pair for rows, at in pieces for pair in zip(rows, at, strict=True)]
        assert found == expected
        assert (len(pieces) == 1) == (at_once == 100)


def test_hashes_that_are_near_by_chance():
    # 32 of 64 bits set: the nearest other such hash swaps one set bit for one that is not.
    assert chance_pairs(10, 20, within=1) == chance_pairs(10, 20, within=0)
    rng = np.random.default_rng(0)
    bits = np.argsort(rng.random((3000, 64)), axis=1) < 32
    far = 64 - (bits[:, None, :16] == bits[None, :300, :16]).sum(-1)
    assert far.min() >= 0
    apart = (bits[:300, None] != bits[None]).sum(-1)
    expected = chance_pairs(300, 3000, within=22) / (300 * 3000)
    assert np.mean(apart <= 22) == pytest.approx(expected + 300 / (300 * 3000), rel=0.1)


def test_what_a_hash_sees():
    image = landscape(0)
    first = look(jpeg(image))
    assert (first ^ look(jpeg(image, 40))).bit_count() <= 2
    assert (first ^ look(jpeg(image.resize((171, 171))))).bit_count() <= 4
    assert (first ^ look(jpeg(ImageEnhance.Brightness(image).enhance(0.8)))).bit_count() <= 4
    assert (first ^ look(jpeg(landscape(1)))).bit_count() > 12
    assert perceptual_hash(EncodedImage(jpeg(Image.new("RGB", (90, 80), (9, 90, 200))))) is None


def plant(folder: Path) -> tuple[Path, Path]:
    """Shards of 30 and of 8 samples that share what the test names."""
    train, test = folder / "train", folder / "test"
    with ShardWriter(train, samples_per_shard=12) as writer:
        for n in range(30):
            place, label = (n * 1.0, n * 2.0), {"sequence": f"s{n}", "creator_id": f"c{n % 3}"}
            data = jpeg(landscape(n))
            writer.write(Record(key=f"t{n}", image_bytes=data, latlon_deg=place, label=label))
    with ShardWriter(test, samples_per_shard=5) as writer:
        for n in range(8):
            label = {"sequence": "s4" if n == 3 else f"z{n}", "creator_id": f"c{n * 2}"}
            data = jpeg(landscape(100 + n))
            if n == 1:
                data = jpeg(landscape(7))
            if n in (2, 5):
                data = jpeg(landscape(9), quality=70 + n)
            place = (0.0, 0.0005) if n == 6 else (-40.0 - n, 100.0)
            key = "t11" if n == 7 else f"v{n}"
            writer.write(Record(key=key, image_bytes=data, latlon_deg=place, label=label))
    return train, test


def test_planted_leaks(tmp_path, capsys):
    train, test = plant(tmp_path)
    command = ["audit", str(train), str(test), "--pairs", str(tmp_path / "pairs.csv")]
    assert main([*command, "--format", "json", "--min-km", "1", "--workers", "2"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["leaks"] == {
        "same_bytes": 1,
        "near_duplicate": 2,
        "same_key": 1,
        "same_sequence": 1,
        "same_creator": 2,
    }
    assert told["shared_groups"] == {"sequence": 1, "creator": 2}
    assert told["share_nearer_than_km"] == {"0.1": 0.125, "1": 0.125, "5": 0.125, "25": 0.125}
    assert told["nearest_training_km"]["0%"] == pytest.approx(0.0556, abs=1e-4)
    assert len(told["exceeded"]) == 4
    pairs = pd.read_csv(tmp_path / "pairs.csv").fillna(-1)
    rows = {tuple(row) for row in pairs[["kind", "test_key", "train_key"]].to_numpy()}
    assert rows == {
        ("same_bytes", "v1", "t7"),
        ("near_duplicate", "v2", "t9"),
        ("near_duplicate", "v5", "t9"),
        ("same_key", "t11", "t11"),
        ("same_sequence", "v3", "t4"),
        ("same_creator", "v0", "t0"),
        ("same_creator", "v1", "t11"),
        ("near_place", "v6", "t0"),
    }
    near = pairs[pairs.kind == "near_duplicate"]
    assert near.hamming.between(0, 4).all()
    assert (pairs[pairs.kind != "near_duplicate"].hamming == -1).all()


def test_limits_decide_the_exit_code(tmp_path, capsys):
    train, test = plant(tmp_path)
    allowed = ["--max-same-bytes", "1", "--max-near-duplicates", "2", "--max-same-sequence", "1"]
    assert main(["audit", str(train), str(test), *allowed]) == 0
    assert "no leak beyond the limits" in capsys.readouterr().out
    assert main(["audit", str(train), str(test), *allowed, "--max-same-creator", "1"]) == 1
    assert "leak: 2 test samples have the same creator in training (1 allowed)" in (
        capsys.readouterr().out
    )
    assert main(["audit", str(train), str(test), "--no-images", "--format", "markdown"]) == 1
    told = capsys.readouterr().out
    assert "| with the same bytes | 0 (0.00%) |" in told
    assert "leak: 1 test samples have the same sequence in training (0 allowed)" in told
    assert main(["audit", str(train), str(test), "--hamming", "20"]) == 2
    assert main(["audit", str(train), str(train)]) == 1
    assert "30 (100.00%)" in capsys.readouterr().out


def test_folders_and_tables_too(tmp_path, capsys):
    folder = tmp_path / "photos"
    folder.mkdir()
    exif = Image.Exif()
    exif[0x8825] = {1: "N", 2: (10.0, 30.0, 0.0), 3: "W", 4: (20.0, 0.0, 0.0)}
    landscape(3).save(folder / "a.jpg", exif=exif, quality=92)
    (folder / "b.jpg").write_bytes(jpeg(landscape(4)))
    (folder / "c.jpg").write_bytes(jpeg(landscape(5))[:500])
    (folder / "d.jpg").write_bytes(jpeg(Image.new("RGB", (64, 64), (0, 0, 200))))
    side = read_audit_set(str(folder))
    assert [sample.key for sample in side.samples] == ["a.jpg", "b.jpg", "d.jpg"]
    assert side.latlon_deg[0].tolist() == [10.5, -20.0]
    assert np.isnan(side.latlon_deg[1:]).all()
    assert side.ledger.by_kind == {"truncated": 1}
    table = folder.parent / "table.csv"
    table.write_text(
        "id,path,latitude,longitude,AUTHOR\n1,photos/b.jpg,10.5,-20,x\n2,photos/d.jpg,95,0,x\n"
        "3,,1,1,y\n4,photos/gone.jpg,1,1,y\n"
    )
    found = audit(side, read_audit_set(str(table)), limits=LeakLimits())
    assert found.report.test.lost == {"missing": 1, "not_a_file": 1}
    assert (found.report.test.samples, found.report.test.flat) == (2, 1)
    assert found.report.test.without_place == 1
    assert found.report.leaks["same_bytes"] == 2
    assert found.report.nearest_km["100%"] == 0.0
    assert main(["audit", str(table), str(table), "--no-images", "--max-same-key", "3"]) == 1
    told = capsys.readouterr().out
    assert "4 samples (1 without a place, 0 with image" in told
    assert "leak: 4 test samples have the same key in training (3 allowed)" in told


def test_damaged_samples_are_counted(tmp_path):
    train, _ = plant(tmp_path)
    shard = train / "00000.tar"
    data = bytearray(shard.read_bytes())
    start = data.index(b"\xff\xd8\xff")
    data[start + 600 : start + 900] = bytes(300)
    shard.write_bytes(bytes(data))
    side = read_audit_set(str(train))
    assert side.ledger.lost == 1
    assert side.ledger.seen == 30
    assert len(side.samples) == 29


def test_without_imagehash(monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name == "imagehash":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ConfigError, match=r"pip install 'geoloc\[audit\]'"):
        look(jpeg(landscape(0)))
