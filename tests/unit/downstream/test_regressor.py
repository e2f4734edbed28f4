from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest
import torch

from geoloc.downstream import ForestSettings, LabelledRows, NetworkSettings, fit_regressor
from geoloc.downstream.forest import fit_forest, left_out_estimates
from geoloc.downstream.residual_network import ResidualNetwork, train_network
from geoloc.errors import ConfigError, DataError

FOREST = ForestSettings(
    embedding_trees=10, embedding_depth=4, trees=10, min_leaf=8, max_features=0.3
)
# remembers what it has seen
MEMORY = dataclasses.replace(FOREST, min_leaf=1)
NETWORK = NetworkSettings(
    channels=4, hidden=16, dropout=0.0, epochs=40, images_a_step=10, learning_rate=0.01
)


def bright_images(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images of noise about a brightness between -1 and 1, and the brightness."""
    generator = np.random.default_rng(seed)
    bright = generator.uniform(-1, 1, count)
    noise = generator.normal(0, 15, (count, 8, 8, 3))
    return np.clip(127 + 90 * bright[:, None, None, None] + noise, 0, 255).astype(np.uint8), bright


def rows(place: np.ndarray, covariate: np.ndarray, value: np.ndarray) -> LabelledRows:
    return LabelledRows(place=place, covariate=covariate, value=value, weight=np.ones(len(value)))


def test_the_forest_learns_the_covariates_and_the_network_what_images_add() -> None:
    images, bright = bright_images(90, 0)
    place = np.repeat(np.arange(90), 3)
    covariate = np.random.default_rng(1).uniform(-1, 1, (270, 2))
    value = 5.0 + 3.0 * (covariate[:, 0] > 0) + 2.0 * bright[place]
    taught = place < 60
    model = fit_regressor(
        images,
        rows(place[taught], covariate[taught], value[taught]),
        forest=FOREST,
        network=NETWORK,
        seed=0,
    )
    alone, both = model.predict(images, place[~taught], covariate[~taught])
    truth = value[~taught]
    error = [float(np.sqrt(np.mean((each - truth) ** 2))) for each in (alone, both)]
    assert error[0] < 0.85 * truth.std()
    assert error[1] < 0.65 * error[0]
    assert np.corrcoef(both - alone, bright[place[~taught]])[0, 1] > 0.85


def test_rows_without_weight_to_speak_of_teach_nothing() -> None:
    covariate = np.tile(np.linspace(-1, 1, 40)[:, None], (2, 1))
    value = np.concatenate([np.zeros(40), np.full(40, 10.0)])
    weight = np.concatenate([np.ones(40), np.full(40, 1e-9)])
    forest = fit_forest(covariate, value, weight=weight, settings=FOREST, seed=0)
    assert np.abs(forest.predict(covariate[:40])).max() < 0.01
    images, _ = bright_images(80, 2)
    network = train_network(
        images,
        np.arange(80),
        covariate,
        np.where(value > 0, -1.0, 1.0),
        weight=weight,
        settings=NETWORK,
        seed=0,
    )
    assert np.mean(network.predict(images, np.arange(40), covariate[:40])) > 0.5


def test_left_out_estimates_have_not_seen_the_place() -> None:
    # what a place measures has nothing to do with its covariate, which names it
    generator = np.random.default_rng(3)
    place = np.repeat(np.arange(40), 4)
    covariate = place[:, None].astype(np.float64)
    value = generator.normal(size=40)[place]
    weight = np.ones(160)
    left_out = left_out_estimates(
        covariate, value, weight=weight, place=place, settings=MEMORY, seed=0
    )
    seen = fit_forest(covariate, value, weight=weight, settings=MEMORY, seed=0).predict(covariate)
    assert np.corrcoef(seen, value)[0, 1] > 0.9
    assert abs(np.corrcoef(left_out, value)[0, 1]) < 0.5


def test_an_image_is_looked_at_once_for_all_of_its_rows() -> None:
    network = ResidualNetwork(1, NETWORK).eval()
    image = torch.randn(3, 3, 16, 16)
    of_image, covariate = torch.tensor([2, 0, 2, 1]), torch.randn(4, 1)
    together = network(image, of_image, covariate)
    for row in range(4):
        alone = network(
            image[of_image[row]][None], torch.zeros(1, dtype=torch.int64), covariate[row][None]
        )
        assert torch.allclose(together[row], alone[0], atol=1e-5)


def test_the_same_seed_gives_the_same_network_and_leaves_chance_alone() -> None:
    images, bright = bright_images(12, 4)
    before = torch.random.get_rng_state()
    settings = dataclasses.replace(NETWORK, epochs=2)

    def taught(seed: int) -> np.ndarray:
        network = train_network(
            images,
            np.arange(12),
            bright[:, None],
            bright,
            weight=np.ones(12),
            settings=settings,
            seed=seed,
        )
        return network.predict(images, np.array([3, 1]), bright[[3, 1], None])

    assert np.array_equal(taught(0), taught(0))
    assert not np.array_equal(taught(0), taught(1))
    assert torch.equal(before, torch.random.get_rng_state())


def test_rows_that_cannot_teach_are_refused() -> None:
    good = rows(np.arange(2), np.ones((2, 1)), np.ones(2))
    assert good.joined(good).place.tolist() == [0, 1, 0, 1]
    with pytest.raises(DataError, match="finite values"):
        dataclasses.replace(good, value=np.array([1.0, np.nan]))
    with pytest.raises(DataError, match="weights above 0"):
        dataclasses.replace(good, weight=np.array([1.0, 0.0]))
    with pytest.raises(DataError, match="rows to learn from"):
        rows(np.arange(0), np.ones((0, 1)), np.ones(0))


def test_without_scikit_learn_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(ConfigError, match=r"geoloc\[systems\]"):
        fit_forest(np.ones((4, 1)), np.ones(4), weight=np.ones(4), settings=FOREST, seed=0)
