from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.cluster import DBSCAN
from sklearn.metrics import adjusted_rand_score

from geoloc.errors import ConfigError, DataError
from geoloc.geodesy import great_circle_km, sample_sphere
from geoloc.regions import (
    ClusterGrid,
    ClusterSettings,
    cluster_tuning,
    clusterings,
    clusters_of,
    metric_constrained_clusters,
    prepare,
    tune,
)
from geoloc.regions.cluster_evidence import constraint_reach
from geoloc.regions.cluster_tuning import adjusted_rand_index
from geoloc.regions.pair_losses import expected_transport, pair_loss
from geoloc.regions.transport import transport_squared

LINE = ClusterSettings(
    metric="euclidean",
    unit="step",
    neighbours=15,
    min_samples=10,
    lag_classes=30,
    max_lag=120.0,
    eps=0.15,
    weight=1.0,
    margin=0.3,
)


def series(seed=0, pieces=(0, 1, 0, 1), length=60):
    """A series that goes back and forth between regimes of one mean and two correlations."""
    generator = np.random.default_rng(seed)
    truth = np.repeat(pieces, length)
    factor = np.array([[[1.0, 0.0], [0.9, 0.4]], [[1.0, 0.0], [-0.9, 0.4]]])
    noise = generator.normal(size=(len(truth), 2))
    return np.einsum("nij,nj->ni", factor[truth], noise), truth


def naive_loss(prepared, settings, places):
    """The loss of every pair by a double loop, as the source writes it."""
    seen = prepared.observations
    n = len(seen)
    one, other = np.indices((n, n)).reshape(2, -1)
    squares = transport_squared(seen.gaussians, torch.from_numpy(one), torch.from_numpy(other))
    squares = squares.reshape(n, n).tolist()
    loss = np.zeros((n, n))
    for i in range(n):
        for j in range(i):
            squared = squares[i][j]
            if places.shape[1] == 2:
                lag = float(great_circle_km(places[i], places[j]))
            else:
                lag = abs(float(places[i, 0] - places[j, 0]))
            expected = 2 * float(seen.fit(np.array([lag]))[0]) if lag > 0 else 2 * seen.fit.nugget
            charge = max(0.0, squared - expected + settings.margin) if lag <= seen.reach else 0.0
            loss[i, j] = loss[j, i] = squared + settings.weight * charge
    return loss


@pytest.mark.parametrize("sphere", [False, True])
def test_equals_dbscan_of_a_naive_matrix_of_losses(sphere):
    features, _ = series(length=15)
    if sphere:
        places = np.sort(sample_sphere(60, generator=np.random.default_rng(3)), axis=0)
        settings = replace(LINE, metric="great_circle", unit="km", distance="exact", max_lag=None)
    else:
        places = np.arange(60.0)[:, None]
        settings = replace(LINE, distance="exact", max_lag=60.0)
    prepared = prepare(features, places, settings=settings)
    loss = naive_loss(prepared, settings, places)
    theirs = DBSCAN(eps=0.15, min_samples=10, metric="precomputed").fit(loss)
    found = clusters_of(prepared)
    assert found.count >= 1
    assert 0 < found.noise_share < 1
    assert found.label.tolist() == theirs.labels_.tolist()


@pytest.mark.parametrize("distance", ["embedding", "exact"])
def test_pairs_of_as_many_neighbours_as_there_are_and_blocks_give_the_same(distance, monkeypatch):
    features, _ = series()
    places = np.arange(240.0)
    whole = metric_constrained_clusters(features, places, settings=replace(LINE, distance=distance))
    limited = metric_constrained_clusters(
        features, places, settings=replace(LINE, distance=distance, compared=10**6)
    )
    monkeypatch.setattr("geoloc.regions.pair_losses._BLOCK", 37)
    monkeypatch.setattr("geoloc.regions.pair_losses._LISTED", 53)
    small = metric_constrained_clusters(features, places, settings=replace(LINE, distance=distance))
    assert whole.label.tolist() == limited.label.tolist() == small.label.tolist()
    assert whole.core.tolist() == limited.core.tolist() == small.core.tolist()


def test_regimes_of_one_mean_are_found_and_those_that_return_are_one_cluster():
    features, truth = series()
    found = metric_constrained_clusters(features, np.arange(240.0), settings=LINE)
    inside = np.abs((np.arange(240) + 30) % 60 - 30) >= 10
    assert adjusted_rand_score(truth[inside], found.label[inside]) > 0.9
    free = metric_constrained_clusters(
        features, np.arange(240.0), settings=replace(LINE, weight=0.0)
    )
    assert free.count == 1
    near = metric_constrained_clusters(
        features, np.arange(240.0), settings=replace(LINE, compared=25)
    )
    # of neighbours alone no cluster leaps over the other regime
    assert near.count > found.count
    for label in range(near.count):
        assert np.ptp(np.flatnonzero(near.label == label)) < 90


def test_nothing_depends_on_the_order_of_observations():
    features, _ = series()
    places = np.arange(240.0)
    order = np.random.default_rng(5).permutation(240)
    straight = metric_constrained_clusters(features, places, settings=LINE)
    mixed = metric_constrained_clusters(features[order], places[order], settings=LINE)
    # the source takes slopes along an unsorted matrix of lags, and so never finds a range
    assert mixed.reach == pytest.approx(straight.reach, rel=1e-6)
    assert 0 < straight.reach < 240
    assert adjusted_rand_score(straight.label[order], mixed.label) == pytest.approx(1.0, abs=0.05)


def test_the_range_is_where_the_curve_turns_flat():
    features, _ = series()
    fit = prepare(features, np.arange(240.0), settings=LINE).observations.fit
    reach = constraint_reach(fit, 0.01)
    step = 1e-4 * reach
    slope = np.diff(fit(np.array([reach - step, reach + step]))) / (2 * step)
    assert slope[0] == pytest.approx(0.01 * fit.partial_sill / fit.scale, rel=0.05)
    assert constraint_reach(fit, 0.001) > reach
    with pytest.raises(ConfigError, match="flat_share"):
        constraint_reach(fit, 0.0)


def test_the_charge_on_a_pair():
    transport = torch.tensor([1.0, 3.0, 3.0], dtype=torch.float64)
    expected = torch.tensor([2.0, 2.0, torch.inf], dtype=torch.float64)
    loss = pair_loss(transport, expected, weight=2.0, margin=0.5)
    assert loss.tolist() == [1.0, 3.0 + 2 * 1.5, 3.0]
    assert pair_loss(transport, expected, weight=0, margin=9).tolist() == transport.tolist()


def test_two_observations_at_one_place_may_differ_by_the_nugget():
    features, _ = series()
    fit = replace(prepare(features, np.arange(240.0), settings=LINE).observations.fit, nugget=0.3)
    lag = torch.tensor([0.0, 5.0, 50.0], dtype=torch.float64)
    found = expected_transport(fit, 40.0, lag)
    assert found.tolist() == pytest.approx([0.6, 2 * float(fit(np.array([5.0]))[0]), np.inf])


def test_tuning_takes_the_setting_that_agrees_best():
    features, truth = series()
    prepared = prepare(features, np.arange(240.0), settings=LINE)
    grid = ClusterGrid(
        eps=(0.1, 0.15, 5.0), weight=(0.0, 1.0), margin=(0.0, 0.3), min_samples=(10,)
    )
    known = np.where(np.random.default_rng(0).random(240) < 0.4, truth, -1)
    tuned = tune(prepared, known, grid)
    # without a weight the margin does not matter: three eps, one or three settings each
    assert len(tuned.tried) == 9
    told = known >= 0
    scores = [
        adjusted_rand_score(known[told], each.label[told]) for each in clusterings(prepared, grid)
    ]
    assert [score for _, score in tuned.tried] == pytest.approx(scores)
    assert tuned.score == pytest.approx(max(scores))
    assert tuned.clusters.settings == tuned.tried[int(np.argmax(scores))][0]


def test_tuning_gives_the_same_where_pairs_do_not_fit_into_memory(monkeypatch):
    features, truth = series()
    prepared = prepare(features, np.arange(240.0), settings=LINE)
    grid = ClusterGrid(eps=(0.3, 0.6), weight=(0.5,), margin=(0.2,), min_samples=(10,))
    kept = tune(prepared, truth, grid)
    monkeypatch.setattr(cluster_tuning, "MOST_KEPT", 10)
    assert tune(prepared, truth, grid).tried == kept.tried


@pytest.mark.parametrize("seed", range(3))
def test_the_adjusted_rand_index_is_scikit_learns(seed):
    generator = np.random.default_rng(seed)
    one, other = generator.integers(0, 4, 50), generator.integers(-1, 3, 50)
    assert adjusted_rand_index(one, other) == pytest.approx(adjusted_rand_score(one, other))
    assert adjusted_rand_index(one, one) == 1.0
    assert adjusted_rand_index(np.zeros(5, dtype=np.int64), np.zeros(5, dtype=np.int64)) == 1.0


def test_what_cannot_be_clustered():
    features, truth = series(length=10)
    places = np.arange(40.0)
    with pytest.raises(DataError, match="40 rows of features for 39 places"):
        prepare(features, places[1:], settings=LINE)
    with pytest.raises(DataError, match="at one place"):
        prepare(features, np.zeros(40), settings=replace(LINE, max_lag=None))
    with pytest.raises(ConfigError, match="weight"):
        metric_constrained_clusters(features, places, settings=replace(LINE, weight=-1.0))
    with pytest.raises(ConfigError, match="eps"):
        metric_constrained_clusters(features, places, settings=replace(LINE, eps=0.0))
    for wrong, told in (
        ({"margin": np.nan}, "margin"),
        ({"weight": np.inf}, "weight"),
        ({"eps": np.inf}, "eps"),
        ({"compared": 0}, "two at least"),
        ({"max_lag": -1.0}, "max_lag must be positive"),
    ):
        with pytest.raises(ConfigError, match=told):
            metric_constrained_clusters(features, places, settings=replace(LINE, **wrong))
    with pytest.raises(DataError, match="take fewer"):
        prepare(features[:20], places[:20], settings=replace(LINE, neighbours=21))
    prepared = prepare(features, places, settings=LINE)
    with pytest.raises(DataError, match="no label is known"):
        tune(prepared, np.full(40, -1), ClusterGrid())
    with pytest.raises(DataError, match="39 labels"):
        tune(prepared, truth[1:], ClusterGrid())
    with pytest.raises(ConfigError, match="empty"):
        tune(prepared, truth, ClusterGrid(eps=()))
