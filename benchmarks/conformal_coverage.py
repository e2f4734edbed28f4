"""Coverage of conformal radii on Earth tiles: easy and block hold-out, and from one to the other.

    geoloc shards make earth-tiles --out data/earth_tiles_coverage \
        --train 14000 --validation 500 --test-easy 1000 --test-block 6000
    geoloc embed runs/demo --data data/earth_tiles_demo/val --out embedded/val
    geoloc embed runs/demo --data 'data/earth_tiles_coverage/train/{00016..00027}.tar' \
        --out embedded/easy
    geoloc embed runs/demo --data data/earth_tiles_coverage/test_block --out embedded/block
    python benchmarks/conformal_coverage.py runs/demo embedded

The demo's tiles are the first of these: the same seed deals the same places in the same order, so
the training tiles from the 8,000th on are 6,000 places of the demo's easy kind that it has never
seen, and its held-out blocks are these.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from geoloc.data.earth_blocks import BlockGrid
from geoloc.evaluation.answered import AnsweredSplit, answer_split, continents
from geoloc.evaluation.calibration_report import profile_of
from geoloc.evaluation.conformal import (
    LEVELS,
    SCORES,
    ConformalRadius,
    conformal_scores,
    conformal_threshold,
    radii_km,
)
from geoloc.evaluation.mass_profile import MassProfile
from geoloc.evaluation.temperature import fit_temperature
from geoloc.experiment.trained_run import open_trained_run
from geoloc.retrieval import Embedded, Gallery

BLOCK_DEG = 10.0


def rows_of(profile: MassProfile, rows: np.ndarray) -> MassProfile:
    return MassProfile(edges_km=profile.edges_km, within=profile.within[rows])


class Measured:
    """Scores and radii of one split, for any threshold."""

    def __init__(self, split: AnsweredSplit, scale: float) -> None:
        self.split, self.profile = split, profile_of(split, scale)
        self.score = {
            name: conformal_scores(name, self.profile, split.distance_km) for name in SCORES
        }


def line(name: str, covered: np.ndarray, radius: np.ndarray, level: float) -> str:
    off = np.abs(covered - level) <= 0.02
    return (
        f"  {name:<30} {level:>5.0%}  covered {covered.mean():6.1%}  sd {covered.std():5.1%}"
        f"  within 2 points {off.mean():4.0%}  median radius {np.median(radius):7,.0f} km"
    )


def over_draws(
    measured: Measured,
    draw: Callable[[np.random.Generator], np.ndarray],
    draws: int,
    block: np.ndarray | None = None,
    one_each: bool = False,
) -> dict[tuple[str, float], tuple[np.ndarray, np.ndarray]]:
    """Coverage and median radius on what is not drawn, with thresholds from what is."""
    generator = np.random.default_rng(0)
    kept: dict[tuple[str, float], list[tuple[float, float]]] = {}
    for _ in range(draws):
        fit = draw(generator)
        used = fit
        if one_each and block is not None:
            order = generator.permutation(np.flatnonzero(fit))
            used = np.zeros_like(fit)
            used[order[np.unique(block[order], return_index=True)[1]]] = True
        for name, score in measured.score.items():
            for level in LEVELS:
                by = None if block is None or one_each else block[used]
                threshold = conformal_threshold(score[used], level, block=by)
                radius = radii_km(name, rows_of(measured.profile, ~fit), threshold)
                held = measured.split.distance_km[~fit] <= radius
                kept.setdefault((name, level), []).append((held.mean(), np.median(radius)))
    return {key: tuple(np.array(pairs).T) for key, pairs in kept.items()}


def show(title: str, told: dict[tuple[str, float], tuple[np.ndarray, np.ndarray]]) -> None:
    print(title)
    for (name, level), (covered, radius) in told.items():
        print(line(name, covered, radius, level))


def transfer(title: str, fitted: Measured, tested: Measured) -> None:
    print(title)
    for name in SCORES:
        for level in LEVELS:
            threshold = conformal_threshold(fitted.score[name], level)
            radius = radii_km(name, tested.profile, threshold)
            held = (tested.split.distance_km <= radius).mean()
            print(
                f"  {name:<30} {level:>5.0%}  covered {held:6.1%}  "
                f"median radius {np.median(radius):7,.0f} km  mean {radius.mean():7,.0f} km"
            )


def by_continent(measured: Measured, draws: int) -> None:
    print("easy, by continent, mass score, 90 %: thresholds of all against those of the group")
    generator = np.random.default_rng(1)
    split, profile = measured.split, measured.profile
    answered, true = continents(split.answer_deg), continents(split.true_deg)
    kept: dict[tuple[str, str, str], list[float]] = {}
    for _ in range(draws):
        fit = generator.random(len(split)) < 0.5
        radius = ConformalRadius.fit(
            "mass", rows_of(profile, fit), split.distance_km[fit], group=answered[fit]
        )
        for way, group in (("all", None), ("group", answered[~fit])):
            held = split.distance_km[~fit] <= radius.radius_km(
                rows_of(profile, ~fit), 0.9, group=group
            )
            for by, names in (("answer", answered[~fit]), ("truth", true[~fit])):
                for name in set(names):
                    kept.setdefault((by, name, way), []).append(held[names == name].mean())
    for by, name in sorted({key[:2] for key in kept}):
        count = int((answered == name).sum() if by == "answer" else (true == name).sum())
        if count >= 100:
            plain, own = (np.mean(kept[(by, name, way)]) for way in ("all", "group"))
            print(f"  {by:<6} {name:<2} {count:>5,} images  all {plain:6.1%}  group {own:6.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("embedded", type=Path)
    parser.add_argument("--draws", type=int, default=300)
    args = parser.parse_args()
    torch.set_num_threads(1)
    trained = open_trained_run(args.run, device="cpu")
    gallery = Gallery.load(args.run / "galleries" / "training-places")
    answered = {
        name: answer_split(Embedded.load(args.embedded / name), gallery)
        for name in ("val", "easy", "block")
    }
    scale = float(trained.model.scale().detach())
    fit = fit_temperature(answered["val"], trained_scale=scale)
    print(f"temperature {fit.temperature:.3f} on {fit.queries} validation images")
    val, easy, block = (Measured(answered[name], fit.scale) for name in ("val", "easy", "block"))
    count = len(easy.split)

    def half(generator: np.random.Generator) -> np.ndarray:
        return np.isin(np.arange(count), generator.permutation(count)[: count // 2])

    title = f"easy: half of {count} images fits, half tests, {args.draws} draws"
    show(title, over_draws(easy, half, args.draws))
    transfer("easy: the run's own validation split fits, all test", val, easy)
    by_continent(easy, args.draws // 3)
    transfer("block: the run's own (easy) validation split fits, all blocks test", val, block)

    sharp = fit_temperature(block.split, trained_scale=scale)
    print(f"temperature that the blocks themselves would ask for: {sharp.temperature:.2f}")
    member = BlockGrid(block_deg=BLOCK_DEG).block_of(block.split.true_deg)
    names = np.unique(member)

    def half_of_blocks(generator: np.random.Generator) -> np.ndarray:
        return np.isin(member, generator.permutation(names)[: len(names) // 2])

    for title, by, one_each in (
        ("images as if exchangeable", None, False),
        ("blocks pooled (hierarchical)", member, False),
        ("one image a block", member, True),
    ):
        told = over_draws(block, half_of_blocks, args.draws, block=by, one_each=one_each)
        show(f"block: half of {len(names)} blocks fit, half test, {title}", told)
        if not one_each:
            one_block_at_a_time(block, member, by)


def one_block_at_a_time(measured: Measured, member: np.ndarray, by: np.ndarray | None) -> None:
    """Every block tested by thresholds from all others."""
    split = measured.split
    for name, score in measured.score.items():
        for level in LEVELS:
            held = np.zeros(len(split), dtype=np.bool_)
            for block in np.unique(member):
                out = member == block
                threshold = conformal_threshold(
                    score[~out], level, block=None if by is None else by[~out]
                )
                radius = radii_km(name, rows_of(measured.profile, out), threshold)
                held[out] = split.distance_km[out] <= radius
            shares = np.array([held[member == block].mean() for block in np.unique(member)])
            print(
                f"  {name:<10} {level:>5.0%}  all blocks but one fit, one tests: "
                f"images {held.mean():6.1%}, blocks {shares.mean():6.1%}, worst {shares.min():6.1%}"
            )


if __name__ == "__main__":
    main()
