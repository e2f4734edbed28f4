"""What a perceptual hash finds of edited copies, what it takes for one, and how fast it searches.

    python benchmarks/leak_audit.py TRAIN_SHARDS TEST_SHARDS [--edited N] [--large]

TEST must lie apart from TRAIN, so that no two images of them show the same: every pair within a
distance is a false one. The edits are made to the images of TEST. --large searches the hashes of
200,000 images among those of 5,000,000.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance

from geoloc.data.decoding import decode_image
from geoloc.data.encoded_image import EncodedImage
from geoloc.data.near_hashes import chance_pairs, nearest_hashes
from geoloc.data.perceptual_hash import perceptual_hash
from geoloc.data.reading import RawSample, ShardReader
from geoloc.data.shard_list import list_shards

WITHIN = (0, 2, 4, 6, 8, 10, 12)


def images_of(source: str) -> list[bytes]:
    shards = list_shards(source)
    return [
        item.image_bytes
        for url, size in zip(shards.urls, shards.sizes, strict=True)
        for item in ShardReader(url, expected=size)
        if isinstance(item, RawSample)
    ]


def hashes(images: list[bytes]) -> np.ndarray:
    found = [perceptual_hash(EncodedImage(data)) for data in images]
    return np.array([look for look in found if look is not None], dtype=np.uint64)


def resized(share: float) -> Callable[[Image.Image], Image.Image]:
    return lambda image: image.resize((round(image.width * share), round(image.height * share)), 1)


def cropped(share: float) -> Callable[[Image.Image], Image.Image]:
    def crop(image: Image.Image) -> Image.Image:
        x, y = round(image.width * share), round(image.height * share)
        return image.crop((x, y, image.width, image.height)).resize(image.size, 1)

    return crop


def edits() -> dict[str, tuple[Callable[[Image.Image], Image.Image], int]]:
    same = Image.Image.copy
    return {
        "JPEG quality 90": (same, 90),
        "JPEG quality 60": (same, 60),
        "JPEG quality 30": (same, 30),
        "3/4 of the size": (resized(0.75), 90),
        "half the size": (resized(0.5), 90),
        "twice the size": (resized(2.0), 90),
        "brightness -20 %": (lambda i: ImageEnhance.Brightness(i).enhance(0.8), 90),
        "brightness +20 %": (lambda i: ImageEnhance.Brightness(i).enhance(1.2), 90),
        "contrast -30 %": (lambda i: ImageEnhance.Contrast(i).enhance(0.7), 90),
        "grey": (lambda i: i.convert("L").convert("RGB"), 90),
        "2 % cropped off two sides": (cropped(0.02), 90),
        "5 % cropped off two sides": (cropped(0.05), 90),
        "10 % cropped off two sides": (cropped(0.10), 90),
        "mirrored": (lambda i: i.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 90),
    }


def copies(images: list[bytes], edit: Callable[[Image.Image], Image.Image], quality: int) -> None:
    far: list[int] = []
    for data in images:
        buffer = io.BytesIO()
        edit(decode_image(data)).save(buffer, "JPEG", quality=quality)
        a, b = perceptual_hash(EncodedImage(data)), perceptual_hash(EncodedImage(buffer.getvalue()))
        far.append(64 if a is None or b is None else (a ^ b).bit_count())
    print(" ".join(f"{np.mean(np.array(far) <= w):7.1%}" for w in WITHIN), flush=True)


def large() -> None:
    rng = np.random.default_rng(0)
    known = rng.integers(0, 2**64, 5_000_000, dtype=np.uint64)
    asked = rng.integers(0, 2**64, 200_000, dtype=np.uint64)
    asked[:1000] = known[:1000] ^ np.uint64(0b1011)
    for within in (2, 4, 6, 8):
        start = time.process_time()
        _, distance = nearest_hashes(asked, known, within=within)
        spent, found = time.process_time() - start, int((distance >= 0).sum())
        assert within < 3 or found >= 1000
        print(f"200,000 among 5,000,000 within {within}: {found:,} found, {spent:.1f} CPU-s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--edited", type=int, default=300, help="images that are edited (300)")
    parser.add_argument("--large", action="store_true")
    args = parser.parse_args()
    test = images_of(args.test)
    print(f"{min(args.edited, len(test)):,} images; share of edited copies within so many bits")
    print(f"{'':28}" + " ".join(f"{w:7}" for w in WITHIN))
    for name, (edit, quality) in edits().items():
        print(f"{name:28}", end="")
        copies(test[: args.edited], edit, quality)
    known, asked = hashes(images_of(args.train)), hashes(test)
    print(f"{len(asked):,} x {len(known):,} images that show different places")
    for within in WITHIN:
        _, distance = nearest_hashes(asked, known, within=within)
        chance = chance_pairs(len(asked), len(known), within=within)
        share = np.mean(distance >= 0)
        print(f"within {within:2}: {share:7.2%} of the images ({chance:.2g} pairs by chance)")
    if args.large:
        large()


if __name__ == "__main__":
    main()
