"""Small real images, and shards of them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geoloc.data.record import Record
from geoloc.data.shards import ShardWriter
from geoloc.models.image_encoder import ImagePreset

MakeRecords = Callable[..., list[Record]]


def encode(seed: int, *, form: str = "JPEG", side: int = 48) -> bytes:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


@pytest.fixture
def make_image() -> Callable[..., bytes]:
    return encode


@pytest.fixture
def make_records() -> MakeRecords:
    def make(count: int, *, first: int = 0, side: int = 48) -> list[Record]:
        return [
            Record(
                key=f"k{index:04d}",
                image_bytes=encode(index, side=side),
                latlon_deg=(-60.0 + index * 0.5, -170.0 + index),
                label={"country": "NA" if index % 2 else "FR", "unique_city": None},
            )
            for index in range(first, first + count)
        ]

    return make


@pytest.fixture
def make_shards(tmp_path: Path, make_records: MakeRecords) -> Callable[..., Path]:
    def make(count: int, *, per_shard: int, name: str = "shards", side: int = 48) -> Path:
        folder = tmp_path / name
        with ShardWriter(folder, samples_per_shard=per_shard) as writer:
            for record in make_records(count, side=side):
                writer.write(record)
        return folder

    return make


@pytest.fixture
def preset() -> ImagePreset:
    return ImagePreset(size=16)
