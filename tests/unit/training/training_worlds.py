"""Tiny models, data and runs that the tests of this room share."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from geoloc.batch import GeoBatch
from geoloc.geodesy import sample_sphere
from geoloc.losses import PairLoss, contrastive_loss
from geoloc.models import DualEncoder, ImagePreset, LocationEncoder
from geoloc.negatives import BatchAndQueue, PlaceQueue
from geoloc.regions import Geocells, geocells_of
from geoloc.training import (
    Objective,
    OptimizerSettings,
    PairTiling,
    ScalarSink,
    Trainer,
    TrainerSettings,
    seed_everything,
)
from geoloc.training.settings import TrainingData


class TinyBackbone(nn.Module):
    """Convolution, batch norm (buffers) and dropout (randomness): what makes resuming hard."""

    feature_dim = 6
    preset = ImagePreset(size=4)

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.2))

    def forward(self, images: Tensor) -> Tensor:
        return self.body(images).mean(dim=(2, 3))

    def fingerprint(self) -> str:
        return "tiny"


def tiny_model(*, frozen: bool = False) -> DualEncoder:
    torch.manual_seed(11)
    return DualEncoder(
        TinyBackbone(),
        embedding_dim=8,
        head_hidden=8,
        location_encoder=LocationEncoder((1.0, 4.0), 8, hidden=8, features=4),
        frozen_backbone=frozen,
    )


def hemispheres() -> Geocells:
    """A cell south of the equator and one north of it."""
    places = np.array([[lat, lon] for lat in (-40.0, 40.0) for lon in (-120.0, 0.0, 120.0)])
    return geocells_of(places, np.array([0, 0, 0, 1, 1, 1]))


class ImageStream:
    """Batches of made-up images by (seed, epoch), with a position, as a stream of shards has."""

    def __init__(self, *, batches: int = 5, size: int = 7, poison: frozenset[int] = frozenset()):
        self.batches, self.size, self.poison = batches, size, poison
        self.seen: list[str] = []
        self.pause_s = 0.0
        self._start = self._done = 0

    @property
    def steps_per_epoch(self) -> int | None:
        return self.batches

    def epoch(self, epoch: int) -> Iterator[GeoBatch]:
        start, self._start = self._start, 0
        self._done = start
        for number in range(start, self.batches):
            self._done += 1
            time.sleep(self.pause_s)
            yield self.batch(epoch, number)

    def batch(self, epoch: int, number: int) -> GeoBatch:
        random = np.random.default_rng([epoch, number])
        latlon = np.stack(
            [random.uniform(-80, 80, self.size), random.uniform(-180, 180, self.size)]
        )
        image = random.normal(size=(self.size, 3, 4, 4)) + latlon[0][:, None, None, None] / 40
        if epoch * self.batches + number in self.poison:
            image[0] = np.nan
        keys = tuple(f"{epoch}-{number}-{i}" for i in range(self.size))
        self.seen += keys
        return GeoBatch(
            key=keys,
            latlon_deg=torch.from_numpy(latlon.T.copy()),
            image=torch.from_numpy(image.astype(np.float32)),
        )

    def state(self) -> dict[str, Any]:
        return {"done": self._done}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._start = int(state["done"])


class FeatureStore:
    """Samples whose features follow their places."""

    def __init__(self, n: int, width: int) -> None:
        random = np.random.default_rng(0)
        self.latlon_deg = sample_sphere(n, generator=random)
        wave = random.normal(size=(2, width)) * 0.02
        self._feature = torch.from_numpy(np.sin(self.latlon_deg @ wave)).float()

    def __len__(self) -> int:
        return len(self.latlon_deg)

    def batch(self, rows: Any, *, labels: bool = True, drawn: Any = None) -> GeoBatch:
        del labels, drawn
        return GeoBatch(
            key=tuple(str(row) for row in rows),
            latlon_deg=torch.from_numpy(self.latlon_deg[rows]),
            feature=self._feature[torch.from_numpy(rows)],
        )


class StopAt:
    """A sink that asks the trainer to stop at a step; it also keeps what is written."""

    def __init__(self, step: int | None = None) -> None:
        self.step, self.trainer = step, None
        self.written: list[tuple[int, dict[str, float]]] = []

    def rewind(self, step: int) -> None:
        self.written = [line for line in self.written if line[0] <= step]

    def write(self, step: int, values: Mapping[str, float]) -> None:
        self.written.append((step, dict(values)))
        if step == self.step and self.trainer is not None:
            self.trainer.request_stop()

    def close(self) -> None:
        pass


FAST = OptimizerSettings(learning_rate=3e-3, weight_decay=1e-3)


def make_trainer(
    folder: Path,
    *,
    data: TrainingData | None = None,
    sink: StopAt | None = None,
    model: DualEncoder | None = None,
    loss: PairLoss = contrastive_loss,
    both_ways: bool = False,
    validation: Any = None,
    more_sinks: tuple[ScalarSink, ...] = (),
    **settings: Any,
) -> Trainer:
    seed_everything(5)
    queue = PlaceQueue(10)
    defaults: dict[str, Any] = {"epochs": 3, "optimizer": FAST, "log_every_steps": 1}
    trainer = Trainer(
        tiny_model() if model is None else model,
        ImageStream() if data is None else data,
        Objective(source=BatchAndQueue(queue), tiling=PairTiling(loss=loss, both_ways=both_ways)),
        settings=TrainerSettings(**(defaults | settings)),
        folder=folder,
        sinks=more_sinks if sink is None else (sink, *more_sinks),
        validation=validation,
    )
    if sink is not None:
        sink.trainer = trainer
    return trainer


def assert_same_checkpoints(first: Path, second: Path) -> None:
    """All three tensor files of two checkpoints are equal bit for bit, and the state as well."""
    assert first.name == second.name
    for part in ("model", "optimizer", "extra"):
        a, b = load_file(first / f"{part}.safetensors"), load_file(second / f"{part}.safetensors")
        assert a.keys() == b.keys()
        for name in a:
            assert torch.equal(a[name].nan_to_num(-7), b[name].nan_to_num(-7)), (part, name)
    states = [json.loads((path / "state.json").read_text()) for path in (first, second)]
    for state in states:
        # beartype, which checks these tests, draws from Python's generator: its state may differ.
        del state["random"]["python"]
    assert states[0] == states[1]
