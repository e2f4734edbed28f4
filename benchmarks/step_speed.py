"""Training steps of geoloc and of GeoCLIP's released loop, in turn, on the same features.

Both train GeoCLIP's heads (image MLP, location encoder, temperature) from equal weights, new or
the released ones, on a CPU: 512 images a batch, 4,096 places in the queue, Adam. The released loop
is the one of the package geoclip 1.3.0 (`geoclip.train.train`, its modules, its queue), with
features in place of pixels. It is handed the very places that geoloc's step draws, noise included,
for nothing. The losses of the first steps must be equal.

Run: python benchmarks/step_speed.py [--released] [--precision bf16] [--rounds 5] [--steps 2]
"""

import argparse
import contextlib
import io
import json
import subprocess
import sys
import time
import types
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

from geoloc.batch import GeoBatch
from geoloc.geodesy import sample_sphere
from geoloc.losses import graded_contrastive_loss
from geoloc.models.dual_encoder import DualEncoder
from geoloc.models.geoclip import load_geoclip
from geoloc.models.image_encoder import ImagePreset
from geoloc.models.location_encoder import LocationEncoder
from geoloc.negatives import BatchAndQueue, PlaceQueue
from geoloc.training import Objective, OptimizerSettings, PairTiling, TrainerSettings
from geoloc.training.seeding import step_generator
from geoloc.training.step import noised_places
from geoloc.training.stepper import Stepper

BATCH, QUEUE, WIDTH, SEED = 512, 4096, 768, 0
RATE, DECAY = 3e-5, 1e-6
CHECKED = 3


class NoBackbone(nn.Module):
    """Stands where a tower would: features are given."""

    feature_dim = WIDTH
    preset = ImagePreset(size=224)

    def forward(self, images):
        return images

    def fingerprint(self):
        return "none"


def batches(count):
    """Features and places; the first eight fill the queue."""
    random = np.random.default_rng(SEED)
    for number in range(count):
        yield GeoBatch(
            key=tuple(f"{number}-{i}" for i in range(BATCH)),
            latlon_deg=torch.from_numpy(sample_sphere(BATCH, generator=random)),
            feature=torch.from_numpy(random.normal(size=(BATCH, WIDTH)).astype(np.float32)),
        )


class Ours:
    """geoloc's step, as its trainer takes it."""

    def __init__(self, data, *, released=False, precision="fp32"):
        model = load_geoclip(NoBackbone()) if released else fresh_model()
        self.objective = Objective(
            source=BatchAndQueue(PlaceQueue(QUEUE)),
            tiling=PairTiling(loss=graded_contrastive_loss),
        )
        for batch in data[: QUEUE // BATCH]:
            self.objective.source.update(batch)
        settings = TrainerSettings(
            epochs=1,
            seed=SEED,
            precision=precision,
            optimizer=OptimizerSettings(learning_rate=RATE, weight_decay=DECAY),
        )
        self.data = data[QUEUE // BATCH :]
        self.stepper = Stepper(model.train(), self.objective, settings)
        self.step, self.losses = 0, []

    def take(self, steps):
        for _ in range(steps):
            self.stepper.take([self.data[self.step]], step=self.step, factor=1.0)
            self.step += 1
            if self.step <= CHECKED:
                self.losses.append(self.stepper.report().means["loss"])


def fresh_model():
    """New weights, the same for both sides."""
    torch.manual_seed(SEED)
    return DualEncoder(NoBackbone(), location_encoder=LocationEncoder())


def same_places(data):
    """The noised places of batch and queue at each step, as geoloc's step draws them."""
    objective = Objective(source=BatchAndQueue(PlaceQueue(QUEUE)))
    for number, batch in enumerate(data):
        if number >= QUEUE // BATCH:
            noise = step_generator(SEED, number - QUEUE // BATCH, "noise", device="cpu")
            yield noised_places(objective.source.candidates(batch), objective, noise).float()
        objective.source.update(batch)


def released_package():
    """geoclip's model class and training loop, with a tower that hands features through."""

    class Tower(nn.Module):
        def __init__(self, *_, **__):
            super().__init__()

        def get_image_features(self, pixel_values):
            return pixel_values

    stand_in = types.ModuleType("transformers")
    for name in ("AutoProcessor", "CLIPConfig", "CLIPImageProcessor", "CLIPModel"):
        setattr(stand_in, name, Tower)
    sys.modules["transformers"] = stand_in
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from geoclip.model.GeoCLIP import GeoCLIP
        from geoclip.train.train import train
    return GeoCLIP, train


class Released:
    """The loop of the geoclip package."""

    def __init__(self, data, *, released=False):
        GeoCLIP, self.train = released_package()
        self.places = iter(list(same_places(data)))

        class Replayed(GeoCLIP):
            def get_gps_queue(replayed):
                super().get_gps_queue()
                return self.now[BATCH:]

        self.model = Replayed(released, QUEUE, clip_pretrained=False).train()
        if not released:
            ours = fresh_model()
            self.model.image_encoder.mlp.load_state_dict(ours.mlp.state_dict())
            self.model.location_encoder.load_state_dict(ours.location_encoder.state_dict())
        for batch in data[: QUEUE // BATCH]:
            self.model.dequeue_and_enqueue(batch.latlon_deg.float())
        self.data = iter(data[QUEUE // BATCH :])
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=RATE, weight_decay=DECAY)
        self.losses = []

    def loader(self, steps):
        for _ in range(steps):
            self.now = next(self.places)
            yield next(self.data).feature, self.now[:BATCH]

    def criterion(self, logits, target):
        loss = nn.functional.cross_entropy(logits, target)
        if len(self.losses) < CHECKED:
            self.losses.append(loss.item())
        return loss

    def take(self, steps):
        class Loader:
            __len__ = lambda _: steps  # noqa: E731
            __iter__ = lambda _: self.loader(steps)  # noqa: E731

        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            self.train(
                Loader(), self.model, self.optimizer, 0, BATCH, "cpu", criterion=self.criterion
            )


def memory_mb():
    lines = Path("/proc/self/status").read_text().splitlines()
    return {k: int(v.split()[0]) / 1024 for k, v in (x.split(":") for x in lines) if k[:2] == "Vm"}


def begun(side, data, arguments):
    if side == "released":
        return Released(data, released=arguments.released)
    return Ours(data, released=arguments.released, precision=arguments.precision)


def peak(side, arguments):
    """Peak memory of a few steps beyond what stands before the first (weights, data)."""
    data = list(batches(QUEUE // BATCH + 3))
    taken = begun(side, data, arguments)
    before = memory_mb()["VmRSS"]
    taken.take(3)
    print(json.dumps({"beyond": memory_mb()["VmHWM"] - before}))


def timed(taken, steps):
    cpu, wall = time.process_time(), time.perf_counter()
    taken.take(steps)
    return time.process_time() - cpu, time.perf_counter() - wall


def main():
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--rounds", type=int, default=5)
    asked.add_argument("--steps", type=int, default=2)
    asked.add_argument("--threads", type=int, default=2)
    asked.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    asked.add_argument("--released", action="store_true", help="begin with released weights")
    asked.add_argument("--peak", choices=("ours", "released"), help="(called by itself)")
    arguments = asked.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.peak:
        peak(arguments.peak, arguments)
        return
    rounds, steps = arguments.rounds, arguments.steps
    data = list(batches(QUEUE // BATCH + CHECKED + rounds * steps))
    sides = {name: begun(name, data, arguments) for name in ("released", "ours")}
    for taken in sides.values():
        taken.take(CHECKED)
    ours, released = (np.array(sides[name].losses) for name in ("ours", "released"))
    print("losses:", *(f"{a:.6f}/{b:.6f}" for a, b in zip(ours, released, strict=True)))
    if arguments.precision == "fp32":
        np.testing.assert_allclose(ours, released, rtol=1e-4)
    spent = {"released": [], "ours": []}
    for _ in range(rounds):
        for name, taken in sides.items():
            spent[name].append(np.array(timed(taken, steps)) / steps)
    for name, values in spent.items():
        call = [sys.executable, *sys.argv, "--peak", name]
        done = subprocess.run(call, capture_output=True, text=True, check=True)
        beyond = json.loads(done.stdout)["beyond"]
        cpu, wall = np.min(values, axis=0)
        print(
            f"{name:9} {cpu:.3f} CPU-s and {wall:.3f} s a step (least), peak {beyond:.0f} MB more"
        )
    ratio = np.array(spent["released"]) / np.array(spent["ours"])
    low, middle, high = np.quantile(ratio, (0, 0.5, 1), axis=0)
    for axis, name in enumerate(("CPU time", "wall")):
        print(f"{name}: {middle[axis]:.3f} as fast ({low[axis]:.3f} to {high[axis]:.3f})")


if __name__ == "__main__":
    main()
