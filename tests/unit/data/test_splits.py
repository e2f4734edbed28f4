"""Splits: groups stay whole, buffers hold, every row is counted, order of rows means nothing."""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from geoloc.cli import main
from geoloc.data.reading import ShardReader
from geoloc.data.sample_table import read_samples
from geoloc.data.split_table import SplitRequest, split_table
from geoloc.data.splits import SplitSettings, block_names, split_samples
from geoloc.errors import ConfigError, DataError
from geoloc.geodesy import great_circle_km, nearest_place_km, sample_sphere


def world(seed: int, rows: int, groups: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places in clumps, names of groups that have nothing to do with place, hemispheres."""
    rng = np.random.default_rng(seed)
    centres = sample_sphere(max(1, rows // 5), generator=rng)
    places = centres[rng.integers(0, len(centres), rows)] + rng.normal(0, 0.2, (rows, 2))
    places = np.clip(places, [-90, -180], [90, 180])
    group = np.array([f"g{number}" for number in rng.integers(0, groups, rows)], dtype=object)
    return places, group, np.where(places[:, 0] > 0, "north", "south").astype(object)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(40, 150),
    groups=st.integers(10, 60),
    buffer_km=st.sampled_from([0.0, 5.0, 60.0]),
)
def test_groups_stay_whole_and_the_buffer_holds(seed, rows, groups, buffer_km):
    places, group, stratum = world(seed, rows, groups)
    places[::17] = np.nan
    wishes = SplitSettings(test_share=0.25, validation_share=0.2, buffer_km=buffer_km, seed=seed)
    split = split_samples(places, group, stratum, settings=wishes)
    assert sum(Counter(split.tolist()).values()) == rows
    assert set(split) <= {"train", "validation", "test", "buffer", "no_place"}
    assert ((split == "no_place") == np.isnan(places[:, 0])).all()
    for name in set(group):
        sides = set(split[group == name]) - {"no_place"}
        assert sides <= {"train", "buffer"} or len(sides) == 1
    held = places[np.isin(split, ("test", "validation"))]
    for row in np.flatnonzero(np.isin(split, ("train", "buffer"))):
        nearest = great_circle_km(places[row : row + 1], held).min()
        assert (split[row] == "buffer") == (nearest < buffer_km)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), shuffle=st.integers(0, 10**6))
def test_the_order_of_rows_means_nothing_and_the_seed_does(seed, shuffle):
    places, group, stratum = world(seed, 200, 80)
    wishes = SplitSettings(test_share=0.2, validation_share=0.1, buffer_km=20.0, seed=seed)
    split = split_samples(places, group, stratum, settings=wishes)
    order = np.random.default_rng(shuffle).permutation(200)
    again = split_samples(places[order], group[order], stratum[order], settings=wishes)
    assert (split[order] == again).all()
    other = SplitSettings(test_share=0.2, validation_share=0.1, buffer_km=20.0, seed=seed + 1)
    assert (split != split_samples(places, group, stratum, settings=other)).any()


def test_seeds_of_many_digits_differ():
    places, group, stratum = world(1, 300, 100)
    dealt = [
        split_samples(places, group, stratum, settings=SplitSettings(seed=seed)).tolist()
        for seed in (20261001, 20261002)
    ]
    assert dealt[0] != dealt[1]


def test_shares_hold_in_every_stratum():
    rng = np.random.default_rng(0)
    stratum = np.repeat(np.array(["a", "b", "c"], dtype=object), [3000, 900, 300])
    group = np.array([f"{s}{n}" for s, n in zip(stratum, rng.integers(0, 300, 4200), strict=True)])
    places = sample_sphere(4200, generator=rng)
    wishes = SplitSettings(test_share=0.1, validation_share=0.05)
    split = split_samples(places, group.astype(object), stratum, settings=wishes)
    for name in ("a", "b", "c"):
        inside = split[stratum == name]
        largest = max(Counter(group[stratum == name].tolist()).values())
        for side, share in (("test", 0.1), ("validation", 0.05)):
            assert abs((inside == side).sum() - share * len(inside)) <= largest / 2


def test_a_group_lies_where_most_of_it_lies():
    # Were the strata those of the rows, the group would be torn; were its own "b", it would be the
    # only group there, too large for a tenth.
    group = np.array(["big"] * 9 + [f"s{n}" for n in range(20)], dtype=object)
    stratum = np.array(["b"] * 4 + ["a"] * 25, dtype=object)
    places = sample_sphere(29, generator=np.random.default_rng(2))
    split = split_samples(places, group, stratum, settings=SplitSettings(test_share=0.7, seed=3))
    assert (split == "test").sum() in (20, 21)
    assert len(set(split[:9])) == 1


def test_what_cannot_be_dealt():
    places = sample_sphere(10, generator=np.random.default_rng(0))
    one, all_ = np.full(10, "one", dtype=object), np.full(10, "all", dtype=object)
    with pytest.raises(DataError, match="no group is small enough for test: 1 groups"):
        split_samples(places, one, all_, settings=SplitSettings())
    for wrong in ({"test_share": 1.0}, {"test_share": math.nan}, {"test_share": 0.0}):
        with pytest.raises(ConfigError, match="shares of test and validation"):
            SplitSettings(**wrong)
    with pytest.raises(ConfigError, match="buffer_km"):
        SplitSettings(buffer_km=-1.0)
    with pytest.raises(ConfigError, match="block_km"):
        block_names(places, block_km=0.0)


def test_blocks_are_of_their_size():
    rng = np.random.default_rng(0)
    places = sample_sphere(4000, generator=rng)
    names = block_names(places, block_km=500.0)
    widest = 0.0
    for name in sorted(set(names))[:200]:
        inside = places[names == name]
        far = max(float(great_circle_km(inside[:1], inside).max()), 0.0)
        widest = max(widest, far)
    assert 350.0 < widest < 900.0
    assert block_names(np.array([[np.nan, np.nan]]), block_km=9.0).tolist() == [None]


def test_nearest_km_is_that_of_a_loop():
    rng = np.random.default_rng(4)
    some, other = sample_sphere(50, generator=rng), sample_sphere(70, generator=rng)
    got = nearest_place_km(some, other)
    for place, km in zip(some, got, strict=True):
        assert km == great_circle_km(place[None], other).min()
    assert np.isinf(nearest_place_km(some, np.empty((0, 2)))).all()


def write_world(path: Path, rows: int = 400) -> pd.DataFrame:
    places, group, _ = world(7, rows, 60)
    frame = pd.DataFrame(
        {
            "id": [str(9007199254740993 + row) for row in range(rows)],
            "latitude": [f"{lat:.4f}" for lat in places[:, 0]],
            "longitude": [f"{lon:.4f}" for lon in places[:, 1]],
            "country": "NA",
            "sequence": group,
            "note": "two, \nlines",
        }
    )
    frame.loc[3, "latitude"] = ""
    frame.loc[4, "latitude"] = "95"
    frame.loc[[5, 6, 7], "sequence"] = ""
    frame.to_csv(path, index=False)
    return frame


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_the_command_keeps_every_row_and_cell(tmp_path, capsys, ending):
    frame = write_world(tmp_path / "t.csv")
    out = tmp_path / f"out.{ending}"
    command = ["split", str(tmp_path / "t.csv"), "--by", "sequence", "--buffer-km", "30"]
    assert main([*command, "--out", str(out), "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    if ending == "csv":
        back = pd.read_csv(out, dtype=str, keep_default_na=False)
    else:
        back = pd.read_parquet(out)
    assert back.drop(columns="split").equals(frame.astype(back["id"].dtype))
    assert Counter(back["split"]) == Counter({k: n for k, n in told["samples"].items() if n})
    assert told["total"] == len(frame)
    assert told["samples"]["no_place"] == 2
    assert told["samples_without_group"] == 3
    assert sum(n for counts in told["continents"].values() for n in counts.values()) == 398
    assert told["nearest_training_km"]["test"]["0%"] >= 30.0
    assert main([*command, "--out", str(tmp_path / "again.csv")]) == 0
    assert "400 samples by sequence (column sequence)" in capsys.readouterr().out
    assert main(["split", str(out), *command[2:], "--out", str(tmp_path / "third.csv")]) == 2
    assert "has a column 'split' already" in capsys.readouterr().err


def test_sources_and_columns(tmp_path, make_shards):
    shards = make_shards(60, per_shard=20)
    table, split, report = split_table(str(shards), SplitRequest(by="block", block_km=300.0))
    assert report.total == 60 == len(table)
    assert table.keys().tolist() == [f"k{number:04d}" for number in range(60)]
    assert Counter(split.tolist())["test"] == report.samples["test"] > 0
    lone = SplitRequest(by="country", settings=SplitSettings(test_share=0.4))
    with pytest.raises(DataError, match="no group is small enough"):
        split_table(str(shards), SplitRequest(by="country", stratify="none"))
    _, split, report = split_table(str(shards), lone)
    assert report.by == "country (column country)"
    with pytest.raises(DataError, match="no column 'cell'"):
        split_table(str(shards), SplitRequest(by="cell"))
    path = tmp_path / "t.csv"
    path.write_text("LAT,LON,quadtree\n1,2,0.5\n3,4,1.5\n")
    assert read_samples(str(path)).latlon_deg.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    frame = pd.DataFrame(
        {"lat": [1.0, 2.0], "lon": [3.0, 4.0], "cell": [7.0, np.nan], "x": [0.5] * 2}
    )
    frame.to_parquet(tmp_path / "t.parquet")
    table = read_samples(str(tmp_path / "t.parquet"))
    assert table.texts("cell").tolist() == ["7", None]
    with pytest.raises(DataError, match="holds fractions"):
        table.texts("x")
    for text, complaint in (
        ("latitude,longitude\n1\n", "cannot be read as a table"),
        ("latitude,longitude\n", "holds no sample"),
        ("latitude,where\n1,2\n", "no column longitude"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=complaint):
            read_samples(str(path))
    with pytest.raises(DataError, match="no such file"):
        read_samples(str(tmp_path / "nowhere.csv"))


def test_shards_are_made_by_the_column(tmp_path, capsys):
    buffer = io.BytesIO()
    Image.new("RGB", (9, 8), (90, 40, 10)).save(buffer, "JPEG")
    (tmp_path / "a.jpg").write_bytes(buffer.getvalue())
    rows = [
        ["path", "latitude", "longitude", "split"],
        *(["a.jpg", "1", f"{number}", "train"] for number in range(5)),
        ["a.jpg", "1", "9", "test"],
        ["a.jpg", "1", "10", "buffer"],
        ["a.jpg", "1", "11", ""],
        ["gone.jpg", "1", "12", "test"],
        ["gone.jpg", "1"],
    ]
    with (tmp_path / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    command = ["shards", "make", "csv", str(tmp_path / "t.csv"), "--out", str(tmp_path / "out")]
    assert main([*command, "--split-column", "split"]) == 0
    told = capsys.readouterr().out
    assert "6 of 10 samples written" in told
    for kind in ("buffer", "no_split", "missing", "malformed_row"):
        assert f"1  left out: {kind} " in told
    for name, count in (("train", 5), ("test", 1)):
        sizes = json.loads((tmp_path / "out" / name / "sizes.json").read_text())
        assert sum(sizes.values()) == count
    assert not (tmp_path / "out" / "validation").exists()


def test_shards_are_dealt_anew(tmp_path, make_shards, capsys):
    shards, table = make_shards(60, per_shard=20), tmp_path / "t.parquet"
    wishes = ["--by", "block", "--block-km", "300", "--buffer-km", "200", "--test-share", "0.2"]
    assert main(["split", str(shards), *wishes, "--out", str(table)]) == 0
    frame = pd.read_parquet(table)
    frame.iloc[1:].to_parquet(table)
    out = tmp_path / "out"
    capsys.readouterr()
    assert main(["shards", "make", "split", str(shards), str(table), "--out", str(out)]) == 0
    told = capsys.readouterr().out
    counts = Counter(frame["split"].iloc[1:])
    assert f"{counts['train'] + counts['test']} of 60 samples written" in told
    assert f"{counts['buffer']}  left out: buffer " in told
    assert "1  left out: not_in_table (k0000)" in told
    dealt = pd.concat(
        read_samples(str(out / name)).table.to_pandas().assign(split=name)
        for name in ("train", "test")
    ).set_index("key")
    there = frame.iloc[1:].set_index("key").query("split != 'buffer'")
    assert dealt.sort_index().equals(there[dealt.columns].sort_index().astype(dealt.dtypes))
    told = {}
    for name in ("train", "test"):
        told |= {
            item.key: item.image_bytes
            for path in sorted((out / name).glob("*.tar"))
            for item in ShardReader(str(path), expected=None)
        }
    for path in sorted(shards.glob("*.tar")):
        for item in ShardReader(str(path), expected=None):
            assert told.get(item.key, item.image_bytes) == item.image_bytes
