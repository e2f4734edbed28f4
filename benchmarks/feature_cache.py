"""The cache of backbone features: rows at random, heads-only epochs, and going on after a kill.

(a) Random rows per CPU second of batches of 512 in float32, one thread, each way in turn, the best
    of the rounds: geoloc's (with keys, places and the drawn view), what a plain npy memmap gives as
    it lies (float16) and widened, and safetensors where it is installed. All are asserted equal.
(b) A computation (at 96 pixels) that is killed by SIGKILL after two shards, how many images are
    encoded when it is run again, and whether its bytes are those of one that was not killed.
(c) CPU seconds of an epoch of the heads of a small model of GeoCLIP's form on Earth tiles, from the
    cache and with the backbone in the loop, in turn. The backbone is EfficientNet-Lite0 at SIDE
    pixels (the smallest that geoloc ships: any larger one makes the ratio larger), batches of 256,
    no queue, no loader workers.

Run: python benchmarks/feature_cache.py [SAMPLES] [TILES] [SIDE]
"""

import hashlib
import multiprocessing
import os
import signal
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from geoloc.data.earth_tile_settings import EarthTileSettings
from geoloc.data.earth_tiles import write_earth_tiles
from geoloc.data.feature_batches import FeatureBatches
from geoloc.data.feature_building import FeatureBuilding, settle
from geoloc.data.feature_cache import FeatureCache
from geoloc.data.feature_encoding import FeatureEncoder, cached_features
from geoloc.data.feature_files import FeatureLayout
from geoloc.data.feature_parts import PartNote, SampleColumns
from geoloc.data.feature_source import FeatureSource
from geoloc.data.ledger import LossLedger
from geoloc.data.shard_list import list_shards
from geoloc.data.stream import ShardStream
from geoloc.models import (
    DualEncoder,
    ImageEncoderSpec,
    LocationEncoderSpec,
    ModelSpec,
    build_model,
)
from geoloc.negatives import BatchAndQueue, RuleSettings, build_rule
from geoloc.training import Objective, TrainerSettings
from geoloc.training.trainer import Trainer

DIM, BATCH, ROUNDS = 768, 512, 5


def write_random(folder: Path, count: int) -> FeatureCache:
    """A cache of random features, as one shard."""
    random = np.random.default_rng(0)
    features = random.standard_normal((count, DIM), dtype=np.float32).astype(np.float16)
    place = random.uniform(-80, 80, (count, 2))
    samples = SampleColumns(
        key=[f"sample-{row:09d}" for row in range(count)],
        lat_deg=place[:, 0].tolist(),
        lon_deg=place[:, 1].tolist(),
        label=["{}"] * count,
    )
    layout = FeatureLayout(rows=(count,), views=1, dim=DIM, dtype="float16")
    building = FeatureBuilding.begin(folder / "building", {"made": "up"}, lambda: layout)
    with building.rows.open() as write:
        write(0, 0, 0, features)
    digest = hashlib.sha256(features.tobytes()).hexdigest()
    note = PartNote(ledger=LossLedger(valid=count), sha256=(digest,))
    building.finish_shard(0, samples, note)
    building.finish()
    settle(folder / "building", folder / "cache")
    return FeatureCache.open(folder / "cache")


def random_rows(count: int) -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        cache = write_random(Path(folder), count)
        plain = np.load(Path(folder) / "cache/features.npy", mmap_mode="r")[0]
        ways = {
            "geoloc, float32, keys, places": lambda rows: (
                cache.batch(rows, labels=False, drawn=(0, 1)).feature
            ),
            "npy memmap, float16": lambda rows: plain[rows],
            "npy memmap, float32 by NumPy": lambda rows: plain[rows].astype(np.float32),
        }
        try:
            from safetensors import safe_open
            from safetensors.numpy import save_file
        except ImportError:
            print("  safetensors is not installed")
        else:
            save_file({"features": np.array(plain)}, f"{folder}/features.safetensors")
            opened = safe_open(f"{folder}/features.safetensors", framework="pt")
            part = opened.get_slice("features")
            whole = opened.get_tensor("features")
            ways["safetensors, a slice a row, float16"] = lambda rows: torch.cat(
                [part[row : row + 1] for row in rows.tolist()]
            )
            ways["safetensors, the tensor mapped, float32"] = lambda rows: whole[
                torch.from_numpy(rows)
            ].float()
        random = np.random.default_rng(1)
        batches = [random.integers(0, count, BATCH) for _ in range(200)]
        expected = np.asarray(plain[batches[0]], dtype=np.float32)
        for way in ways.values():
            assert np.array_equal(np.asarray(way(batches[0]), dtype=np.float32), expected)
        best = dict.fromkeys(ways, float("inf"))
        for _ in range(ROUNDS):
            for name, way in ways.items():
                few = batches[:20] if "slice" in name else batches
                start = time.process_time()
                for rows in few:
                    way(rows)
                seconds = (time.process_time() - start) / (len(few) * BATCH)
                best[name] = min(best[name], seconds)
        print(f"(a) {count:,} x {DIM} float16, batches of {BATCH} random rows, per CPU second")
        for name, seconds in best.items():
            print(f"  {name:42} {1e-6 / seconds:6.2f} M rows", flush=True)


def small_model(side: int) -> DualEncoder:
    return build_model(
        ModelSpec(
            image_encoder=ImageEncoderSpec(
                kind="timm",
                name="tf_efficientnet_lite0",
                weights="package:efficientnet-lite0",
                image_size=side,
            ),
            location_encoder=LocationEncoderSpec(sigmas=(1.0, 16.0, 256.0)),
        )
    )


def source_of(shards: Path, model: DualEncoder) -> FeatureSource:
    return FeatureSource(shards=list_shards(shards), preset=model.preset, batch_size=256)


def encoder_of(model: DualEncoder) -> FeatureEncoder:
    return FeatureEncoder(
        encode=model.backbone_features,
        fingerprint=model.backbone_fingerprint(),
        feature_dim=model.image_encoder.feature_dim,
    )


def epoch_cpu_s(folder: Path, model: DualEncoder, data) -> float:
    """CPU seconds of an epoch of training the heads."""
    trainer = Trainer(
        model,
        data,
        Objective(source=BatchAndQueue(None), rule=build_rule("all", RuleSettings())),
        settings=TrainerSettings(epochs=1, device="cpu", precision="fp32"),
        folder=folder,
        sinks=[],
    )
    start = time.process_time()
    trainer.run()
    return time.process_time() - start


def heads_only(shards: Path, root: Path, side: int, rounds: int = 1) -> None:
    model = small_model(side)
    start = time.process_time()
    cache = cached_features(root / "cache", source_of(shards, model), encoder_of(model))
    print(
        f"(c) {len(cache):,} tiles at {side} pixels: computing the cache "
        f"{time.process_time() - start:.1f} CPU-s",
        flush=True,
    )
    for number in range(rounds):
        heads = [
            epoch_cpu_s(root / f"a{number}-{again}", model, FeatureBatches(cache, 256))
            for again in range(5)
        ]
        cached = statistics.median(heads)
        stream = ShardStream(
            shards, model.preset, batch_size=256, shuffle_buffer=1000, augment=False
        )
        whole = epoch_cpu_s(root / f"b{number}", model, stream)
        print(
            f"  an epoch: backbone in the loop {whole:6.1f} CPU-s, from the cache {cached:5.2f}: "
            f"{whole / cached:5.1f} times",
            flush=True,
        )


def killed(shards: Path, root: Path, side: int = 96) -> None:
    model, folder = small_model(side), root / "killed"
    source, encoder = source_of(shards, model), encoder_of(model)
    straight = cached_features(root / "straight", source, encoder)

    def dying(image: torch.Tensor) -> torch.Tensor:
        if len(list(root.glob(".killed.building/part-*"))) >= 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return model.backbone_features(image)

    child = multiprocessing.get_context("fork").Process(
        target=cached_features, args=(folder, source, replace(encoder, encode=dying))
    )
    child.start()
    child.join()
    parts = len(list(root.glob(".killed.building/part-*")))
    encoded = []

    def counted(image: torch.Tensor) -> torch.Tensor:
        encoded.append(len(image))
        return model.backbone_features(image)

    sizes = source.shards.sizes
    for what in ("run again", "and once more"):
        encoded.clear()
        cache = cached_features(folder, source, replace(encoder, encode=counted))
        print(
            f"(b) exit code {child.exitcode} with {parts} of {len(sizes)} shards finished; {what}: "
            f"{sum(encoded)} of {len(cache)} images encoded ({sum(sizes[parts:])} are in the "
            f"others); same features: {np.array_equal(cache.features, straight.features)}"
        )


def main() -> None:
    samples, tiles, side = (
        int(given) if given else default
        for given, default in zip([*sys.argv[1:], "", "", ""], (200_000, 384, 224), strict=False)
    )
    random_rows(samples)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        settings = EarthTileSettings(
            train=tiles, validation=4, test_easy=4, test_block=4, samples_per_shard=128
        )
        write_earth_tiles(root / "tiles", settings)
        # First the one that forks: the trainer starts threads.
        killed(root / "tiles/train", root)
        heads_only(root / "tiles/train", root, side)


if __name__ == "__main__":
    main()
