from __future__ import annotations

import numpy as np
import pytest

from geoloc.evaluation.fairness import FairnessLabels, fairness
from geoloc.evaluation.group_draws import GroupDraws
from geoloc.evaluation.metrics import GEOSCORE_SCALE_KM, geoscore
from geoloc.evaluation.strata import StratumLabels


def measured(score, country, block, *, continent=None, resamples=300, seed=0):
    distance = -GEOSCORE_SCALE_KM * np.log(np.maximum(score, 1e-9) / 5000.0)
    names = tuple(f"C{number:02d}" for number in range(country.max() + 1))
    codes = StratumLabels(by="country", source="", names=names, code=country.astype(np.int64))
    continent = np.minimum(country, 2) if continent is None else continent
    land = np.array(names, dtype=object)[country]
    return fairness(
        distance,
        GroupDraws.of(block, resamples=resamples, seed=seed),
        FairnessLabels(
            country=codes,
            continent=StratumLabels(
                by="continent", source="", names=("N", "S", "T"), code=continent.astype(np.int64)
            ),
            true_country=land,
            predicted_country=land,
        ),
    )


def planted(seed, *, countries=20, blocks=8, images=15, noise=600.0):
    """Countries of true means 1000 to 4000, each of some blocks whose images err together."""
    generator = np.random.default_rng(seed)
    mean = np.linspace(1000.0, 4000.0, countries)
    country = np.repeat(np.arange(countries), blocks * images)
    block = np.repeat(np.arange(countries * blocks), images)
    shared = generator.normal(0.0, noise, countries * blocks)[block]
    score = np.clip(mean[country] + shared + generator.normal(0.0, 100.0, len(block)), 1.0, 4999.0)
    return mean, score, country, block


def test_worst_countries_and_gap_are_those_planted():
    _, score, country, block = planted(0)
    found = measured(score, country, block, continent=np.minimum(country // 7, 2))
    assert found.countries == 20
    means = np.array([score[country == each].mean() for each in range(20)])
    worst = np.argsort(means)[:2]
    assert list(found.worst_country_names) == [f"C{each:02d}" for each in worst]
    assert found.worst_countries.value == pytest.approx(means[worst].mean())
    assert (found.best_continent, found.worst_continent) == ("T", "N")
    gap = score[country >= 14].mean() - score[country < 7].mean()
    assert found.continent_gap.value == pytest.approx(gap)
    assert found.continent_gap.low < gap < found.continent_gap.high
    tenth = np.sort(score)[: len(score) // 10]
    assert found.worst_images.value == pytest.approx(tenth.mean())
    assert (geoscore(np.array([found.worst_images_km.value])) > tenth[-1]).all()
    assert found.misplaced.value == 0.0
    assert found.predicted_at_sea == 0.0


def test_intervals_of_gini_hold_the_true_one_where_the_estimate_is_too_large():
    truth = np.abs(np.subtract.outer(planted(0)[0], planted(0)[0])).mean() / 5000.0
    found = [measured(*planted(seed)[1:], seed=seed).gini_countries for seed in range(20)]
    held = [each.low <= truth <= each.high for each in found]
    assert sum(held) >= 17
    assert np.mean([each.value for each in found]) == pytest.approx(truth, rel=0.05)


def test_noise_alone_leaves_no_inequality_of_countries():
    """All countries are the same: the index is all noise, and its interval reaches 0."""
    lows = []
    for seed in range(10):
        _, _, country, block = planted(0)
        shared = np.random.default_rng(seed).normal(2500.0, 600.0, block.max() + 1)
        lows.append(measured(shared[block], country, block).gini_countries.low)
    assert sum(low == 0.0 for low in lows) >= 9


def test_grades_are_as_good_as_single_images():
    """More images than grades: the interval is near that of drawing every image."""
    generator = np.random.default_rng(0)
    score = generator.uniform(1.0, 5000.0, 5000)
    block = generator.integers(0, 40, 5000)
    found = measured(score, np.zeros(5000, int), block, resamples=100)
    draws = GroupDraws.of(block, resamples=100, seed=0)
    from geoloc.evaluation.inequality import gini, worst_mean

    drawn = [times[draws.member] for times in draws.times]
    exact = np.percentile([float(gini(score, weight)) for weight in drawn], [2.5, 97.5])
    value = found.gini_images.value
    assert found.gini_images.low == pytest.approx(2 * value - exact[1], abs=2e-4)
    assert found.gini_images.high == pytest.approx(2 * value - exact[0], abs=2e-4)
    worst = np.percentile([float(worst_mean(score, 0.1, each)) for each in drawn], 97.5)
    assert found.worst_images.low == pytest.approx(2 * found.worst_images.value - worst, rel=0.01)


def test_countries_of_few_images_take_no_part():
    country = np.array([0] * 60 + [1] * 49)
    found = measured(np.full(109, 100.0), country, np.arange(109) % 10)
    assert found.countries == 1
    assert found.gini_countries is None
    assert found.continent_gap is None
    assert found.to_json()["gini_countries"] is None
    assert [ratio.country for ratio in found.ratios] == ["C00", "C01"]
