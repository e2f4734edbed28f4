"""Paired differences against a loop, in simulated worlds, and at their edges."""

from __future__ import annotations

import numpy as np
import pytest

from geoloc.evaluation import RowErrors, compare, metric_values

ALL_METRICS = {
    *(f"accuracy@{km}km" for km in (25, 200, 750, 2500)),
    *(f"recall@{k}" for k in (1, 5, 10)),
    "geoscore",
    "median_km",
}


def errors_of(difficulty, *, rank=None):
    """Errors that grow with difficulty, half of them below 200 km where it is even about 0."""
    rank = np.ones(difficulty.shape, dtype=np.int64) if rank is None else rank
    return RowErrors(distance_km=200.0 * np.exp(difficulty), rank=rank)


def world(
    seed, *, seeds=3, blocks=40, rows=6, shared=1.0, own=0.3, by_seed=0.0, better=0.0, by_row=0.5
):
    """Two methods on rows in blocks: difficulty shared by both, by block, by seed, by row."""
    generator = np.random.default_rng(seed)
    block = np.repeat(np.arange(blocks), rows)
    hard = generator.normal(0, shared, blocks)[block]
    arms = {}
    for name, gain in (("all", 0.0), ("new", better)):
        place = hard + generator.normal(0, own, blocks)[block]
        luck = generator.normal(0, by_seed, (seeds, 1))
        noise = generator.normal(0, by_row, (seeds, len(block)))
        arms[name] = errors_of(place + luck + noise - gain)
    return arms, block


def told(arms, block, metric, **words):
    found = compare(arms, ["all"], block, **words)
    return next(each for each in found if each.metric == metric)


def test_metrics_of_errors_counted_by_hand():
    km = np.array([[10.0, 25.0, 199.9, 3000.0], [0.0, 0.0, 800.0, 2000.0]])
    rank = np.array([[1, 5, 6, 11], [1, 1, 10, 2]])
    values = metric_values(RowErrors(distance_km=km, rank=rank))
    assert set(values) == ALL_METRICS
    assert values["accuracy@25km"].tolist() == [0.25, 0.5]
    assert values["accuracy@200km"].tolist() == [0.75, 0.5]
    assert values["accuracy@2500km"].tolist() == [0.75, 1.0]
    assert values["median_km"].tolist() == pytest.approx([112.45, 400.0])
    assert values["recall@1"].tolist() == [0.25, 0.5]
    assert values["recall@5"].tolist() == [0.5, 0.75]
    assert values["recall@10"].tolist() == [0.75, 1.0]
    assert values["geoscore"][1] == pytest.approx(
        5000 * np.mean(np.exp(-np.array([0.0, 0.0, 800.0, 2000.0]) / 1492.7))
    )


def naive_interval(arms, block, measure, *, resamples, seed):
    """Copies of the drawn blocks' rows, seed by seed, as the docstring says it in words."""
    known = np.unique(block)
    seeds = len(arms["all"].distance_km)
    generator = np.random.default_rng(seed)
    times = generator.multinomial(len(known), np.full(len(known), 1 / len(known)), size=resamples)
    counts = generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples)
    stretch = np.sqrt(seeds / (seeds - 1))
    drawn = []
    for of_block, of_seed in zip(times, counts, strict=True):
        rows = np.concatenate(
            [np.tile(np.flatnonzero(block == b), t) for b, t in zip(known, of_block, strict=True)]
        )
        each = [
            measure(arms["new"].distance_km[s, rows]) - measure(arms["all"].distance_km[s, rows])
            for s in range(seeds)
        ]
        plain = np.mean(each)
        resampled = np.mean(np.repeat(each, of_seed))
        drawn.append(plain + stretch * (resampled - plain))
    return np.percentile(drawn, [2.5, 97.5])


@pytest.mark.parametrize(
    ("metric", "measure"),
    [
        ("accuracy@200km", lambda km: np.mean(km < 200)),
        ("geoscore", lambda km: np.mean(5000 * np.exp(-km / 1492.7))),
        ("median_km", lambda km: -np.sort(km)[(len(km) - 1) // 2]),
    ],
)
def test_interval_is_that_of_a_naive_loop(metric, measure):
    arms, block = world(1, blocks=15, rows=5, by_seed=0.2, better=0.1)
    order = np.random.default_rng(0).permutation(len(block))
    arms = {
        name: RowErrors(distance_km=each.distance_km[:, order], rank=each.rank[:, order])
        for name, each in arms.items()
    }
    found = told(arms, block[order], metric, resamples=150, seed=8)
    expected = naive_interval(arms, block[order], measure, resamples=150, seed=8)
    assert [found.low, found.high] == pytest.approx(expected.tolist())


def test_a_method_and_its_copy_differ_by_exactly_nothing():
    arms, block = world(2)
    found = compare({"all": arms["all"], "copy": arms["all"]}, ["all"], block, resamples=100)
    assert {each.metric for each in found} == ALL_METRICS
    assert {(each.delta, each.low, each.high) for each in found} == {(0.0, 0.0, 0.0)}


def test_better_is_positive_in_every_metric_and_worse_negative():
    arms, block = world(3, better=1.0)
    rank = np.ones_like(arms["all"].rank)
    arms["all"] = RowErrors(distance_km=arms["all"].distance_km, rank=rank + 10)
    found = {
        (each.arm, each.metric): each
        for each in compare(arms, ["all", "new"], block, resamples=300)
    }
    # At 25 and 2500 km nearly all rows of this world are wrong, or right, by either method.
    for metric in ALL_METRICS - {"accuracy@25km", "accuracy@2500km"}:
        assert found["new", metric].low > 0, metric
        assert found["all", metric].high < 0, metric
        assert found["all", metric].delta == pytest.approx(-found["new", metric].delta)


def test_every_method_meets_every_baseline_but_itself():
    arms, block = world(4)
    arms = {"all": arms["all"], "distance": arms["new"], "other": arms["new"]}
    pairs = {(c.arm, c.baseline) for c in compare(arms, ["all", "distance"], block, resamples=10)}
    assert pairs == {
        ("all", "distance"),
        ("distance", "all"),
        ("other", "all"),
        ("other", "distance"),
    }


def test_what_is_hard_for_both_takes_no_part():
    arms, block = world(5, shared=2.0, own=0.0, by_row=0.1, blocks=60)
    paired = told(arms, block, "geoscore", resamples=300)
    # The same errors of the baseline, given to other rows block by block: its pairing is lost.
    turned = np.roll(arms["all"].distance_km.reshape(3, 60, 6), 17, axis=1).reshape(3, -1)
    broken = {"all": RowErrors(distance_km=turned, rank=arms["all"].rank), "new": arms["new"]}
    unpaired = told(broken, block, "geoscore", resamples=300)
    assert unpaired.delta == pytest.approx(paired.delta)
    assert unpaired.high - unpaired.low > 4 * (paired.high - paired.low)


def test_rows_of_one_block_are_not_taken_for_independent():
    arms, block = world(6, own=1.0, rows=20, blocks=20)
    by_block = told(arms, block, "geoscore", resamples=400)
    by_row = told(arms, np.arange(len(block)), "geoscore", resamples=400)
    assert by_block.high - by_block.low > 2 * (by_row.high - by_row.low)


@pytest.mark.parametrize(("seeds", "by_seed"), [(3, 0.0), (3, 0.05), (5, 0.05)])
def test_of_many_studies_without_a_difference_few_claim_one(seeds, by_seed):
    studies, misses = 60, 0
    for number in range(studies):
        arms, block = world(1000 + number, seeds=seeds, by_seed=by_seed)
        found = told(arms, block, "accuracy@200km", resamples=150, seed=number)
        misses += not found.low <= 0.0 <= found.high
    # Nominal 3; eight or more of 60 have a chance of 1 % if the interval keeps its promise.
    assert misses < 8


def test_of_many_studies_with_a_difference_most_find_it_and_cover_it():
    truth = []
    for number in range(40):
        arms, _ = world(5000 + number, better=0.4, blocks=400)
        values = {name: metric_values(each)["accuracy@200km"].mean() for name, each in arms.items()}
        truth.append(values["new"] - values["all"])
    covered = found_it = 0
    for number in range(60):
        arms, block = world(9000 + number, better=0.4)
        found = told(arms, block, "accuracy@200km", resamples=200, seed=number)
        covered += found.low <= np.mean(truth) <= found.high
        found_it += found.low > 0
    assert covered >= 52
    assert found_it >= 50


def test_one_seed_draws_blocks_alone():
    arms, block = world(7, seeds=1)
    found = told(arms, block, "geoscore", resamples=300)
    assert found.low < found.delta < found.high


def test_what_cannot_be_compared_is_refused():
    arms, block = world(8)
    with pytest.raises(ValueError, match="no arm is called nobody"):
        compare(arms, ["nobody"], block)
    with pytest.raises(ValueError, match="one block a row"):
        compare(arms, ["all"], block[1:])
    fewer, _ = world(8, seeds=2)
    with pytest.raises(ValueError, match="share seeds and rows"):
        compare({"all": arms["all"], "new": fewer["new"]}, ["all"], block)
    with pytest.raises(ValueError, match="one block"):
        compare(arms, ["all"], np.zeros_like(block))
