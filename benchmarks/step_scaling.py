"""What a training step costs by batch and queue, and by rule; what a refit costs by samples.

GeoCLIP's heads on given features, as in step_speed.py. CPU time of whole steps, the least of the
rounds, after two steps to warm up. The rule `semivariogram` judges by the embeddings, with a fit to
2,000 made-up samples.

Run: python benchmarks/step_scaling.py [--rounds 2] [--most 4096]
"""

import argparse
import time
from itertools import count

import numpy as np
import torch
from step_speed import WIDTH, fresh_model

from geoloc.batch import GeoBatch
from geoloc.geodesy import sample_sphere
from geoloc.losses import graded_contrastive_loss
from geoloc.negatives import (
    BatchAndQueue,
    EpochExpectation,
    PlaceQueue,
    RefitSettings,
    RuleSettings,
    build_rule,
    fit_expectation,
)
from geoloc.training import Objective, PairTiling, TrainerSettings, trained_embeddings
from geoloc.training.stepper import Stepper

BATCHES, QUEUES = (256, 512, 1024, 2048, 4096), (0, 4096, 16_384)
REFITS = ((2_000, 1_000_000), (20_000, 10_000_000))
EMBEDDING = 512


def world(samples, width, *, seed=0):
    """Places and features that follow them, with noise."""
    random = np.random.default_rng(seed)
    latlon = sample_sphere(samples, generator=random)
    wave = np.random.default_rng(7).normal(size=(2, width)) * 0.02
    feature = np.sin(latlon @ wave) + random.normal(size=(samples, width)) * 0.5
    return latlon, torch.from_numpy(feature.astype(np.float32))


def least_cpu_s(act, rounds, *, warm=2):
    spent = []
    for _ in range(warm + rounds):
        began = time.process_time()
        act()
        spent.append(time.process_time() - began)
    return min(spent[warm:])


def step_cpu_s(batch_size, queued, rule, rounds):
    expectation = EpochExpectation()
    if rule == "semivariogram":
        expectation.current = fit_expectation(
            *world(2_000, EMBEDDING), RefitSettings(pairs=200_000), seed=0
        )
    queue = PlaceQueue(queued, feature_dim=EMBEDDING) if queued else None
    if queue is not None:
        places, feature = world(queued, EMBEDDING, seed=1)
        queue.push(torch.from_numpy(places), feature)
    objective = Objective(
        source=BatchAndQueue(queue),
        rule=build_rule(rule, RuleSettings()),
        expectation=expectation,
        compared=trained_embeddings,
        tiling=PairTiling(loss=graded_contrastive_loss),
    )
    stepper = Stepper(fresh_model().train(), objective, TrainerSettings(epochs=1))
    latlon, feature = world(batch_size, WIDTH, seed=2)
    batch = GeoBatch(
        key=tuple(map(str, range(batch_size))),
        latlon_deg=torch.from_numpy(latlon),
        feature=feature,
    )
    number = count()
    return least_cpu_s(lambda: stepper.take([batch], step=next(number), factor=1.0), rounds)


def main():
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--rounds", type=int, default=2)
    asked.add_argument("--most", type=int, default=4096, help="largest batch")
    arguments = asked.parse_args()
    rounds, sizes = arguments.rounds, [b for b in BATCHES if b <= arguments.most]
    print("| batch | queue | all, CPU-s | us a place | semivariogram, CPU-s | ns more a pair |")
    print("|---:|---:|---:|---:|---:|---:|", flush=True)
    for size, queued in [(b, 4096) for b in sizes] + [(512, q) for q in QUEUES if q != 4096]:
        plain = step_cpu_s(size, queued, "all", rounds)
        judged = step_cpu_s(size, queued, "semivariogram", rounds)
        pairs = size * (size + queued)
        print(
            f"| {size:,} | {queued:,} | {plain:.2f} | {1e6 * plain / (size + queued):.0f} "
            f"| {judged:.2f} | {1e9 * (judged - plain) / pairs:.0f} |",
            flush=True,
        )
    for samples, pairs in REFITS:
        given, settings = world(samples, EMBEDDING), RefitSettings(samples=samples, pairs=pairs)

        def refit(given=given, settings=settings):
            fit_expectation(*given, settings, seed=0)

        print(
            f"refit, {samples:,} samples, {pairs:,} pairs: "
            f"{least_cpu_s(refit, 1, warm=0):.1f} CPU-s",
            flush=True,
        )


if __name__ == "__main__":
    main()
