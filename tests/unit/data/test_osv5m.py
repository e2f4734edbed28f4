"""The OSV-5M writer: nothing lost without being counted, no digit of an id, no country "NA"."""

from __future__ import annotations

import csv
import json
import sys
import tarfile
import zipfile
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from geoloc.data.earth_blocks import BlockGrid
from geoloc.data.osv5m import write_osv5m_shards
from geoloc.data.osv5m_images import ImageIndex
from geoloc.data.osv5m_rows import choose_validation
from geoloc.data.table_rows import read_table
from geoloc.errors import ConfigError, DataError, ImageError

sys.path.insert(0, str(Path(__file__).parents[2] / "integration"))
from fabricated_osv5m import COLUMNS, CREATORS, FabricatedRelease, fabricate_release


@pytest.fixture(scope="module", params=[True, False], ids=["zips", "folders"])
def release(request, tmp_path_factory) -> FabricatedRelease:
    folder = tmp_path_factory.mktemp("release")
    return fabricate_release(folder, train=60, test=12, pixels=16, packed=request.param)


def read_shards(folder: Path) -> dict[str, tuple[bytes, dict]]:
    samples: dict[str, tuple[bytes, dict]] = {}
    sizes = json.loads((folder / "sizes.json").read_text())
    for name in sizes:
        with tarfile.open(folder / name) as tar:
            members = {one.name: tar.extractfile(one).read() for one in tar}
        for member, data in members.items():
            if member.endswith(".json"):
                samples[member[:-5]] = (members[member[:-5] + ".jpg"], json.loads(data))
    assert sum(sizes.values()) == len(samples)
    return samples


def table_rows(release: FabricatedRelease, split: str) -> list[dict[str, str]]:
    with (release.folder / f"{split}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_train_split(release, tmp_path):
    seen: list[tuple[int, int]] = []
    report = write_osv5m_shards(
        release.folder,
        tmp_path,
        "train",
        samples_per_shard=25,
        progress=lambda done, total: seen.append((done, total)),
    )
    rows = table_rows(release, "train")
    assert report.skipped == {
        "missing_image": 1,
        "duplicate_id": 1,
        "missing_coordinate": 1,
        "coordinate_out_of_range": 1,
        "coordinate_not_a_number": 1,
    }
    assert report.examples["missing_image"] == (release.missing_image,)
    assert report.examples["duplicate_id"] == (release.duplicate,)
    for kind, one in release.bad_place.items():
        assert report.examples[kind] == (one,)
    assert report.total == len(rows)
    # Images of the rows with a bad place lie there unused.
    assert report.unused_images == 3
    assert seen[-1] == (report.written, report.written)
    samples = read_shards(tmp_path / "train")
    # The damaged image is written as it is: verifying finds it.
    assert set(samples) == {*release.good["train"], release.corrupt_image}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train"]


def test_json_carries_every_column(release, tmp_path):
    write_osv5m_shards(release.folder, tmp_path, "test")
    samples = read_shards(tmp_path / "test")
    rows = {row["id"]: row for row in table_rows(release, "test")}
    assert set(samples) == set(rows)
    assert any(int(one) > 2**53 for one in rows)
    texts = ("id", "country", "region", "city", "creator_username", "creator_id", "captured_at")
    for key, (_, said) in samples.items():
        row = rows[key]
        assert set(said) >= set(COLUMNS)
        assert said["latitude"] == float(row["latitude"])
        assert said["longitude"] == float(row["longitude"])
        assert said["land_cover"] == float(row["land_cover"])
        assert isinstance(said["quadtree_10_1000"], int)
        assert said["soil"] is None
        for name in (*texts, "unique_city", "unique_sub-region", "unique_region"):
            assert said[name] == (row[name] or None)
    assert {said["creator_username"] for _, said in samples.values()} == set(CREATORS)
    namibia = [one for one in release.namibia if one in samples]
    assert len(namibia) >= 2
    assert all(samples[one][1]["country"] == "NA" for one in namibia)
    assert all(samples[one][1]["unique_country"] == "NA" for one in namibia)
    assert any(said["unique_city"] is None for _, said in samples.values())


def test_images_belong_to_their_rows(release, tmp_path):
    write_osv5m_shards(release.folder, tmp_path, "test")
    index = ImageIndex.build(release.folder / "images" / "test")
    for key, (image, _) in read_shards(tmp_path / "test").items():
        container = int(index.container[index.find([key])[0]])
        with index.opened(container) as read:
            assert read(key) == image
    assert index.find(["1", "", release.good["train"][0]]).tolist() == [-1, -1, -1]


def test_order_follows_the_seed(release, tmp_path):
    def keys(name: str, seed: int | None) -> list[list[str]]:
        write_osv5m_shards(
            release.folder, tmp_path / name, "train", samples_per_shard=20, seed=seed
        )
        shards = []
        for file in sorted((tmp_path / name / "train").glob("*.tar")):
            with tarfile.open(file) as tar:
                shards.append([one.name[:-5] for one in tar if one.name.endswith("json")])
        return shards

    first, again, other, plain = keys("a", 0), keys("b", 0), keys("c", 1), keys("d", None)
    assert first == again
    assert first != other
    assert first != plain
    assert sorted(chain.from_iterable(first)) == sorted(chain.from_iterable(plain))


def test_limit(release, tmp_path):
    report = write_osv5m_shards(release.folder, tmp_path, "train", limit=7)
    assert report.written == 7
    assert len(read_shards(tmp_path / "train")) == 7
    assert report.skipped["over_limit"] == 61 - 7
    assert report.total == len(table_rows(release, "train"))


def test_validation_split(release, tmp_path):
    report = write_osv5m_shards(release.folder, tmp_path, "train", val_share=0.25)
    train, val = read_shards(tmp_path / "train"), read_shards(tmp_path / "val")
    assert not set(train) & set(val)
    assert len(train) + len(val) == report.written == 61
    assert report.by_split == {"train": 46, "val": 15}


def test_validation_weights_follow_density():
    generator = np.random.default_rng(0)
    crowd = np.stack([np.full(8000, 10.2), np.full(8000, 20.2)], axis=-1)
    grid = BlockGrid(block_deg=1.0)
    lonely = np.stack([np.full(300, -30.5), -170.0 + 1.1 * np.arange(300)], axis=-1)
    _, counts = np.unique(grid.block_of(lonely), return_counts=True)
    lonely = lonely[: len(counts)] if counts.max() == 1 else lonely
    places = np.concatenate([crowd, lonely])
    chosen = choose_validation(places, share=0.01, generator=generator)
    assert chosen.sum() == round(0.01 * len(places))
    # Expected draws are as 8000 * 8000^-0.75 to 300 * 1 = 9.5 to 300: nearly all are lonely ones.
    assert chosen[8000:].sum() > 0.8 * chosen.sum()
    assert chosen[:8000].sum() < 0.2 * chosen.sum()
    assert choose_validation(places, share=0.0, generator=generator).sum() == 0


def test_whole_damage_is_an_error(tmp_path):
    release = fabricate_release(tmp_path / "release", train=12, test=6, pixels=8)
    with pytest.raises(ConfigError, match="val_share"):
        write_osv5m_shards(release.folder, tmp_path / "out", "test", val_share=0.1)
    with pytest.raises(ConfigError, match="limit"):
        write_osv5m_shards(release.folder, tmp_path / "out", "test", limit=0)
    write_osv5m_shards(release.folder, tmp_path / "out", "test")
    with pytest.raises(DataError, match="not an empty folder"):
        write_osv5m_shards(release.folder, tmp_path / "out", "test")
    (release.folder / "test.csv").write_text("id,latitude\n1,2\n")
    with pytest.raises(DataError, match="no column longitude"):
        write_osv5m_shards(release.folder, tmp_path / "two", "test")
    (release.folder / "test.csv").unlink()
    with pytest.raises(DataError, match=r"test\.csv: no such file"):
        write_osv5m_shards(release.folder, tmp_path / "two", "test")
    archive = release.folder / "images" / "train" / "01.zip"
    archive.write_bytes(archive.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"01\.zip: a damaged zip"):
        write_osv5m_shards(release.folder, tmp_path / "two", "train")
    with pytest.raises(DataError, match="no such folder"):
        write_osv5m_shards(tmp_path / "nowhere", tmp_path / "two", "train")
    # Nothing half-done is left behind.
    assert not (tmp_path / "two").exists() or not any((tmp_path / "two").rglob("*.*"))


def test_damaged_members_are_counted(tmp_path):
    release = fabricate_release(tmp_path / "release", train=12, test=6, pixels=8)
    archive = release.folder / "images" / "test" / "00.zip"
    with zipfile.ZipFile(archive) as members:
        names = members.namelist()
        offset = members.getinfo(names[0]).header_offset
        contents = {name: members.read(name) for name in names}
    data = bytearray(archive.read_bytes())
    data[offset + 60 + len(names[0])] ^= 0xFF
    archive.write_bytes(bytes(data))
    index = ImageIndex.build(archive.parent)
    key = Path(names[0]).stem
    with index.opened(0) as read, pytest.raises(ImageError) as caught:
        read(key)
    assert caught.value.kind == "unreadable_image"
    report = write_osv5m_shards(release.folder, tmp_path / "one", "test")
    assert report.skipped == {"unreadable_image": 1}
    assert report.written == 5
    with zipfile.ZipFile(archive, "w") as members:
        for number, name in enumerate(names):
            members.writestr(
                name, (b"", b"<html>gone</html>")[number] if number < 2 else contents[name]
            )
    report = write_osv5m_shards(release.folder, tmp_path / "two", "test")
    assert report.skipped == {"empty_image": 1, "not_an_image": 1}
    assert json.loads(json.dumps(report.to_json()))["written"] == 4


def test_rows_of_another_shape(tmp_path):
    release = fabricate_release(tmp_path / "release", train=6, test=6, pixels=8)
    table = release.folder / "test.csv"
    lines = table.read_text(encoding="utf-8").splitlines()
    one = lines[1].split(",")[0]
    more = [
        f"{lines[1]},too,many",
        f"{one},1.0",
        "12x,1.0,2.0" + "," * (len(COLUMNS) - 3),
        "../up,1.0,2.0" + "," * (len(COLUMNS) - 3),
    ]
    table.write_text("\ufeff" + "\n".join(lines[:1] + more + lines[2:]) + "\n", encoding="utf-8")
    report = write_osv5m_shards(release.folder, tmp_path / "out", "test")
    assert report.skipped == {"malformed_row": 2, "bad_id": 2}
    assert report.written == 5
    table.write_text(lines[0] + "\n" + more[0] + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"no sample could be written \(1 malformed_row"):
        write_osv5m_shards(release.folder, tmp_path / "none", "test")


def test_read_table_guesses_nothing(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text(
        'id,a,b\n09007199254740993,NA,\nx,"1,5","say ""hi""\nthere"\n', encoding="utf-8"
    )
    rows = list(read_table(table, needed=("id",)))
    assert rows == [
        {"id": "09007199254740993", "a": "NA", "b": None},
        {"id": "x", "a": "1,5", "b": 'say "hi"\nthere'},
    ]
    table.write_bytes(b"id,a\n1,\xff\xfe\n")
    with pytest.raises(DataError, match="cannot be read as a table"):
        list(read_table(table, needed=("id",)))
    table.write_text('id,a\n1,"never closed\n', encoding="utf-8")
    with pytest.raises(DataError, match="cannot be read as a table"):
        list(read_table(table, needed=("id",)))
