"""Our shards in stock webdataset's hands, and its shards in ours."""

from __future__ import annotations

import gc
import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset
from PIL import Image

from geoloc.data.record import Record
from geoloc.data.shards import ShardWriter
from geoloc.data.stream import ShardStream
from geoloc.data.verify import verify_shards
from geoloc.models.image_encoder import ImagePreset

KEYS = ("0123456789012345", "a.b.c", "deep/er/x.y", "ünïcode-漢", "100%")


def picture(seed: int, form: str = "JPEG") -> bytes:
    rng = np.random.default_rng(seed)
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(buffer, form)
    return buffer.getvalue()


def read_stock(folder: Path, then: Callable[[Any], Any]) -> list[Any]:
    url = str(folder / "{00000..00002}.tar")
    with warnings.catch_warnings():
        # It leaves its last shard to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        samples = list(then(webdataset.WebDataset(url, shardshuffle=False)))
        gc.collect()
    return samples


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with ShardWriter(tmp_path / "ours", samples_per_shard=2) as writer:
        for number, key in enumerate(KEYS):
            writer.write(
                Record(
                    key=key,
                    image_bytes=picture(number),
                    latlon_deg=(10.0 + number, -20.0),
                    label={"id": "0123456789012345", "country": "NA", "unique_city": None},
                )
            )
    return tmp_path / "ours"


def test_stock_webdataset_reads_our_shards(folder: Path) -> None:
    samples = read_stock(folder, lambda data: data.decode("rgb8").to_tuple("jpg", "json"))
    assert len(samples) == len(KEYS)
    latitudes = sorted(description["latitude"] for _, description in samples)
    assert latitudes == [10.0, 11.0, 12.0, 13.0, 14.0]
    for pixels, description in samples:
        assert pixels.shape == (20, 24, 3)
        number = int(description["latitude"]) - 10
        expected = np.asarray(Image.open(io.BytesIO(picture(number))))
        assert np.array_equal(pixels, expected)
        assert description["country"] == "NA"
        assert description["unique_city"] is None
        assert description["id"] == "0123456789012345"


def test_stock_keys_are_distinct_and_ours_come_back(folder: Path) -> None:
    stock = [sample["__key__"] for sample in read_stock(folder, lambda data: data)]
    assert len(set(stock)) == len(KEYS)
    assert "0123456789012345" in stock
    stream = ShardStream(folder, ImagePreset(size=8), batch_size=2, training=False)
    ours = [key for batch in stream.epoch(0) for key in batch.key]
    assert sorted(ours) == sorted(KEYS)


def test_we_read_what_stock_webdataset_writes(tmp_path: Path) -> None:
    """As published: jpg, json and an embedding; other image kinds; no sizes.json."""
    pattern = str(tmp_path / "train-%06d.tar")
    with webdataset.ShardWriter(pattern, maxcount=4, verbose=0) as writer:
        for number in range(10):
            ending, form = (("jpg", "JPEG"), ("png", "PNG"), ("webp", "WEBP"))[number % 3]
            writer.write(
                {
                    "__key__": f"{number:09d}",
                    ending: picture(number, form),
                    "json": {"latitude": number, "longitude": -number, "unique_country": "NA"},
                    "clip.npy": np.zeros(4, dtype=np.float32),
                }
            )
    report = verify_shards(str(tmp_path / "train-{000000..000002}.tar"))
    assert (report.valid, report.lost) == (10, 0)
    assert report.ledger.surplus == 0
    assert all(not check.faults for check in report.shards)
    stream = ShardStream(tmp_path, ImagePreset(size=8), batch_size=4, training=False)
    places = {
        key: tuple(place.tolist())
        for batch in stream.epoch(0)
        for key, place in zip(batch.key, batch.latlon_deg, strict=True)
    }
    assert places == {f"{n:09d}": (float(n), float(-n)) for n in range(10)}
