"""Hard negatives from a stream (a reservoir) against random access, and what they cost.

A hard negative is *found* when mining with random access calls it one: among the 64 nearest of a
sample in feature space over the whole split, beyond the effective range, u below the mining
quantile. Counted are the found pairs whose two samples share a batch, per batch, and the share of
samples that meet one of theirs, for

    random   random batches,
    (a)      `compose_batches`: each anchor brings one of its four hardest of the whole split,
    (b)      `ReservoirSampler`, which can only bring whom it holds,

and, more strictly, pairs with one of the *four hardest* alone, of which a reservoir must miss most.
The ratio (b) / (a) is that of found pairs. It rises with the part of the split that is held: about
a tenth of it is enough (random access itself searches in pools of MiningSettings.pool).

Then passes over shards of small JPEG tiles, with and without the reservoir in turn: decoding alone,
which is the worst case, and with a step of a small network. CPU seconds are counted, all in one
process: nothing is hidden behind loader workers.

Run: python benchmarks/stream_negatives.py [SAMPLES] [BATCH] [ROUNDS]
"""

import io
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from geoloc.batch import GeoBatch
from geoloc.data.record import Record
from geoloc.data.shards import ShardWriter
from geoloc.data.stream import ShardStream
from geoloc.geodesy import sample_sphere, unit_vectors
from geoloc.models.conv_encoder import ConvEncoder
from geoloc.models.image_encoder import ImagePreset
from geoloc.negatives import (
    EpochExpectation,
    MiningSettings,
    RefitSettings,
    compose_batches,
    fit_expectation,
    mine_hard_negatives,
)
from geoloc.negatives.bank import FeatureBank
from geoloc.negatives.reservoir import ReservoirSampler

SHARE = 0.25
FIT = RefitSettings(samples=10_000, pairs=5_000_000)
FITTED_BEFORE = RefitSettings(warmup_epochs=1_000)


def look_alike_world(n: int, features: int):
    """Places with mixtures of 24 looks that vary over some thousand km, and noise of their own."""
    random = np.random.default_rng(0)
    latlon = sample_sphere(n, generator=random)
    wave = np.cos(
        unit_vectors(latlon) @ random.normal(size=(3, 200)) * 4.0
        + random.uniform(0.0, 2.0 * np.pi, 200)
    )
    look = np.exp(0.3 * wave @ random.normal(size=(200, 24)))
    look /= look.sum(axis=1, keepdims=True)
    own = 0.15 * np.sqrt(64 / features) * random.normal(size=(n, features))
    feature = look @ random.normal(size=(24, features)) * np.sqrt(64 / features) + own
    return latlon, torch.from_numpy(feature).float()


class RandomOrder:
    """A stream of samples without pixels."""

    def __init__(self, latlon: np.ndarray, batch_size: int) -> None:
        self.latlon, self.batch_size = latlon, batch_size

    @property
    def steps_per_epoch(self):
        return -(-len(self.latlon) // self.batch_size)

    def epoch(self, epoch: int):
        order = np.random.default_rng(epoch).permutation(len(self.latlon))
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            yield GeoBatch(
                key=tuple(f"s{row}" for row in rows),
                latlon_deg=torch.from_numpy(self.latlon[rows]),
                feature=torch.zeros(len(rows), 1),
            )

    def state(self):
        return {}

    def restore(self, state: dict) -> None:
        raise NotImplementedError


def reservoir(source, latlon, feature, expectation, batches: int) -> ReservoirSampler:
    bank = FeatureBank()
    bank.put([f"s{row}" for row in range(len(latlon))], torch.from_numpy(latlon), feature)
    return ReservoirSampler(
        source,
        bank,
        expectation,
        reservoir_batches=batches,
        hard_share=SHARE,
        same_place_km=1.0,
        refit=FITTED_BEFORE,
    )


def unordered(hard: np.ndarray) -> np.ndarray:
    anchor, column = np.nonzero(hard >= 0)
    return np.unique(np.sort(np.stack([anchor, hard[anchor, column]], axis=1), axis=1), axis=0)


def count(name: str, batches, lists: tuple[np.ndarray, ...], beside: float | None = None) -> float:
    """Print pairs a batch and samples served, of each list; the pairs of the first."""
    total = sum(map(len, batches))
    batch_of = np.empty(total, dtype=np.int64)
    for number, rows in enumerate(batches):
        batch_of[rows] = number
    line, first = f"  {name:12}", 0.0
    for pairs in lists:
        met = pairs[batch_of[pairs[:, 0]] == batch_of[pairs[:, 1]]]
        first = first or len(met) / len(batches)
        line += f"{len(met) / len(batches):9.1f} a batch, {len(np.unique(met)) / total:4.0%} served"
    print(line + ("" if beside is None else f"   (b)/(a) {first / beside:5.0%}"), flush=True)
    return first


def compare(n: int, batch: int) -> None:
    latlon, feature = look_alike_world(n, 64)
    expectation = EpochExpectation()
    fitted = min(n, FIT.samples)
    expectation.current = fit_expectation(latlon[:fitted], feature[:fitted], FIT, seed=0)
    found = mine_hard_negatives(
        latlon, feature, expectation.current, MiningSettings(per_anchor=64, pool=max(n, 2))
    )
    hard = found[:, :4]
    lists = unordered(found), unordered(hard)
    print(f"{n:,} samples, batches of {batch}: found pairs; pairs with one of the four hardest")
    size = {"batch_size": batch, "same_place_km": 1.0}
    count("random", compose_batches(hard, latlon, share=0.0, **size), lists)
    random_access = count("(a)", compose_batches(hard, latlon, share=SHARE, **size), lists)
    for batches in (4, 8, 16):
        samples = reservoir(RandomOrder(latlon, batch), latlon, feature, expectation, batches)
        rows = [np.array([int(key[1:]) for key in each.key]) for each in samples.epoch(1)]
        part = batches * batch / n
        count(f"(b) {part:.0%} held", rows, lists, random_access)


def write_tiles(folder: Path, latlon: np.ndarray) -> None:
    random = np.random.default_rng(0)
    with ShardWriter(folder, samples_per_shard=500) as writer:
        for row, (lat, lon) in enumerate(latlon.tolist()):
            coarse = Image.fromarray(random.integers(0, 255, (9, 9, 3), np.uint8))
            buffer = io.BytesIO()
            coarse.resize((72, 72), Image.Resampling.BICUBIC).save(buffer, "JPEG")
            writer.write(
                Record(key=f"s{row}", image_bytes=buffer.getvalue(), latlon_deg=(lat, lon))
            )


def cpu_seconds(data, epoch: int, step: bool) -> float:
    """Of a pass over the data, with a step of a small network or without."""
    torch.manual_seed(0)
    model = ConvEncoder(size=64)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    start = time.process_time()
    for batch in data.epoch(epoch):
        if step:
            optimizer.zero_grad()
            model(batch.image).square().mean().backward()
            optimizer.step()
    return time.process_time() - start


def time_passes(rounds: int, batch: int, samples: int = 4_000, features: int = 512) -> None:
    latlon, feature = look_alike_world(samples, features)
    expectation = EpochExpectation()
    expectation.current = fit_expectation(latlon, feature, FIT, seed=0)
    print(f"{samples:,} JPEG tiles, batches of {batch}, features of {features}, CPU seconds a pass")
    with tempfile.TemporaryDirectory() as folder:
        write_tiles(Path(folder) / "shards", latlon)

        def stream() -> ShardStream:
            return ShardStream(f"{folder}/shards", ImagePreset(size=64), batch_size=batch)

        for step in (False, True):
            plain, held = [], []
            for epoch in range(rounds):
                plain.append(cpu_seconds(stream(), epoch, step))
                sampler = reservoir(stream(), latlon, feature, expectation, 8)
                held.append(cpu_seconds(sampler, epoch, step))
            lost = [1.0 - a / b for a, b in zip(plain, held, strict=True)]
            print(
                f"  {'decoding and a step' if step else 'decoding alone':20}"
                f" stream {statistics.median(plain):6.2f},"
                f" reservoir {statistics.median(held):6.2f},"
                f" throughput lost {statistics.median(lost):5.1%} (worst {max(lost):.1%})",
                flush=True,
            )


def main() -> None:
    samples, batch, rounds = (
        int(given) if given else default
        for given, default in zip([*sys.argv[1:], "", "", ""], (20_000, 256, 3), strict=False)
    )
    compare(samples, batch)
    time_passes(rounds, batch)


if __name__ == "__main__":
    main()
