from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from geoloc.errors import DataError
from geoloc.evaluation import Comparison, RowErrors, compare, metric_values
from geoloc.viz import draw_ablation


def study(arms: list[str], *, seeds: int = 2) -> tuple[dict[str, dict[str, list[float]]], list]:
    generator = np.random.default_rng(0)
    errors = {
        arm: RowErrors(
            distance_km=generator.uniform(0, 4000, (seeds, 60)),
            rank=generator.integers(1, 60, (seeds, 60)),
        )
        for arm in arms
    }
    told = {
        arm: {name: values.tolist() for name, values in metric_values(each).items()}
        for arm, each in errors.items()
    }
    return told, compare(errors, arms[:2], np.arange(60) // 6, resamples=50)


def in_split(name: str, metrics, comparisons):
    prefixed = {
        arm: {**values, **{f"{name}/{metric}": each for metric, each in values.items()}}
        for arm, values in metrics.items()
    }
    more = [
        Comparison(
            arm=c.arm,
            baseline=c.baseline,
            metric=f"{name}/{c.metric}",
            delta=c.delta,
            low=c.low,
            high=c.high,
        )
        for c in comparisons
    ]
    return prefixed, [*comparisons, *more]


def test_a_picture_grows_with_arms_and_splits(tmp_path: Path, read_png) -> None:
    few, many = study(["all", "distance"]), study(["all", "distance", "a", "b", "c"])
    small = read_png(draw_ablation(*few, tmp_path / "x/small.png", title="few"))
    large = read_png(draw_ablation(*many, tmp_path / "large.png", title="many"))
    double = read_png(draw_ablation(*in_split("block", *many), tmp_path / "d.png", title="many"))
    assert small.shape[1] == large.shape[1] == double.shape[1]
    assert small.shape[0] < large.shape[0] < double.shape[0]
    assert (large[:100] == double[:100]).all()


def test_an_interval_that_leaves_out_zero_is_filled(tmp_path: Path, read_png) -> None:
    metrics, comparisons = study(["all", "distance"])
    blue = np.array([0, 114, 178])

    def ink(low: float) -> int:
        moved = [
            Comparison(
                arm=c.arm, baseline=c.baseline, metric=c.metric, delta=0.3, low=low, high=0.5
            )
            for c in comparisons
        ]
        pixels = read_png(draw_ablation(metrics, moved, tmp_path / "x.png", title="t"))
        return int((pixels == blue).all(axis=2).sum())

    assert ink(0.1) > 2 * ink(-0.1)


def test_values_that_are_all_equal_are_drawn(tmp_path: Path, read_png) -> None:
    metrics, comparisons = study(["all", "distance"], seeds=1)
    flat = {arm: {name: [0.0] for name in values} for arm, values in metrics.items()}
    none = [
        Comparison(arm=c.arm, baseline=c.baseline, metric=c.metric, delta=0.0, low=0.0, high=0.0)
        for c in comparisons
    ]
    assert read_png(draw_ablation(flat, none, tmp_path / "x.png", title="$flat")).size


def test_nothing_to_compare_or_too_much_is_refused(tmp_path: Path) -> None:
    metrics, comparisons = study(["all", "distance", "third"])
    with pytest.raises(DataError, match="something to compare"):
        draw_ablation(metrics, [], tmp_path / "x.png", title="none")
    third = Comparison(arm="all", baseline="third", metric="geoscore", delta=0.0, low=0.0, high=0.0)
    with pytest.raises(DataError, match="one baseline or two"):
        draw_ablation(metrics, [*comparisons, third], tmp_path / "x.png", title="three")
