"""Sums add up: any split in any order, streams, ranks, checkpoints."""

import socket
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from geoloc.errors import CheckpointError, ConfigError, CoordinateError, DataError, MismatchError
from geoloc.geostatistics.accumulator import Engine, VariogramAccumulator
from geoloc.geostatistics.dissimilarity import ValueBins
from geoloc.geostatistics.lags import LagBins
from geoloc.geostatistics.slots import FIRST
from geoloc.geostatistics.sums import COUNT, ROOT, SQUARE, VALUE

KM = LagBins(edges=(0.001, 0.1, 5.0, 300.0, 4000.0, 15_000.0))


def samples(places_maker, count=150, dim=6, seed=1):
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(count, dim))
    return places_maker(count), values, generator.integers(0, 5, size=count)


def close(a, b):
    torch.testing.assert_close(a.moments[..., COUNT], b.moments[..., COUNT], rtol=0, atol=0)
    torch.testing.assert_close(a.moments, b.moments, rtol=1e-10, atol=1e-10)
    assert (a.histogram - b.histogram).abs().sum() <= 2


@pytest.mark.parametrize("dissimilarity", ["cosine", "squared"])
@pytest.mark.parametrize("cuts", [(50, 100), (1, 2, 148), (75,)])
def test_any_split_in_any_order_is_one_pass(clustered_places, dissimilarity, cuts):
    places, values, group = samples(clustered_places)
    values = values + (100.0 if dissimilarity == "squared" else 0.0)
    whole = VariogramAccumulator(KM, group_count=5, dissimilarity=dissimilarity)
    whole.add(places, values, groups=group)
    order = np.random.default_rng(2).permutation(150)
    blocks = [b for b in np.split(order, cuts) if len(b)]
    total = whole.empty_like()
    parts = []
    for number, rows in enumerate(blocks):
        if len(rows):
            part = whole.empty_like()
            part.add(places[rows], values[rows], groups=group[rows])
            parts.append(part)
        for earlier in blocks[:number]:
            part = whole.empty_like()
            part.add_between(
                (places[rows], values[rows], group[rows]),
                (places[earlier], values[earlier], group[earlier]),
            )
            parts.append(part)
    for number in np.random.default_rng(3).permutation(len(parts)):
        total += parts[number]
    close(total, whole)
    close(parts[0] + total, total + parts[0])
    assert total.pair_count == int(total.histogram.sum()) == 150 * 149 // 2


def test_only_the_same_kind_adds_up():
    sums = VariogramAccumulator(KM)
    for other, word in (
        (VariogramAccumulator(LagBins.even(3, 9.0)), "edges"),
        (VariogramAccumulator(KM, dissimilarity="squared"), "dissimilarity"),
        (VariogramAccumulator(KM, group_count=2), "group_count"),
        (VariogramAccumulator(KM, value_bins=ValueBins(scale=4.0)), "value_scale"),
    ):
        with pytest.raises(MismatchError, match=word):
            sums += other


def test_a_checkpoint_goes_on_exactly(clustered_places):
    places, values, group = samples(clustered_places)
    first = VariogramAccumulator(KM, group_count=5)
    first.add(places[:80], values[:80], groups=group[:80])
    again = first.empty_like()
    again.load_state_dict(first.state_dict())
    for sums in (first, again):
        sums.add(places[80:], values[80:], groups=group[80:])
    assert torch.equal(first.moments, again.moments)
    assert torch.equal(first.histogram, again.histogram)
    for other in (
        VariogramAccumulator(KM, group_count=4),
        VariogramAccumulator(LagBins.even(5, 9.0), group_count=5),
        VariogramAccumulator(KM, group_count=5, value_bins=ValueBins(scale=2.0)),
        VariogramAccumulator(KM, group_count=5, dissimilarity="squared"),
        VariogramAccumulator(LagBins(edges=KM.edges, unit="m"), group_count=5),
    ):
        with pytest.raises(CheckpointError):
            other.load_state_dict(first.state_dict())
    with pytest.raises(CheckpointError):
        again.load_state_dict({})


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _rank(rank, port, folder, places, values, group):
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    torch.set_num_threads(1)
    half = slice(0, 75) if rank == 0 else slice(75, 150)
    sums = VariogramAccumulator(KM, group_count=5)
    engine = Engine(backend="torch")
    sums.add(places[half], values[half], groups=group[half], engine=engine)
    if rank == 0:
        sums.add_between(
            (places[:75], values[:75], group[:75]),
            (places[75:], values[75:], group[75:]),
            engine=engine,
        )
    sums.all_reduce()
    torch.save(sums.state_dict(), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_ranks_equal_one(clustered_places, tmp_path):
    port = free_port()
    places, values, group = samples(clustered_places)
    mp.spawn(_rank, args=(port, str(tmp_path), places, values, group), nprocs=2)
    states = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    assert torch.equal(states[0]["moments"], states[1]["moments"])
    whole = VariogramAccumulator(KM, group_count=5)
    whole.add(places, values, groups=group)
    both = whole.empty_like()
    both.load_state_dict(states[0])
    close(both, whole)


def _different_ranks(rank, port, folder):
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    sums = VariogramAccumulator(KM, value_bins=ValueBins(scale=2.0**rank))
    try:
        sums.all_reduce()
    except MismatchError as error:
        Path(folder, str(rank)).write_text(str(error))
    dist.destroy_process_group()


def test_ranks_of_different_kinds_are_told(tmp_path):
    mp.spawn(_different_ranks, args=(free_port(), str(tmp_path)), nprocs=2)
    for rank in range(2):
        assert "differ in kind" in (tmp_path / str(rank)).read_text()


def test_a_broken_row_far_down_leaves_the_sums_as_they_were(monkeypatch):
    monkeypatch.setattr("geoloc.geostatistics.all_pairs._ROW_BYTES", {"cpu": 1})
    values = np.random.default_rng(0).normal(size=(2500, 4))
    values[2400, 1] = np.nan
    places = np.random.default_rng(1).uniform(-60, 60, size=(2500, 2))
    sums = VariogramAccumulator(KM)
    with pytest.raises(DataError, match="2400"):
        sums.add(places, values, engine=Engine(backend="torch"))
    assert sums.pair_count == 0


@pytest.mark.parametrize(("backend", "count"), [("numba", 20_400), ("torch", 4000)])
def test_a_hundred_million_pairs_in_a_class_without_drift(backend, count):
    # samples at two places, of two values: every sum is known; float32 sums are 0.6 % low at four
    # million pairs in a class
    places = np.zeros((count, 2))
    places[1::2, 0] = 1.0
    values = np.zeros(count, dtype=np.float32)
    values[1::2] = 0.3
    sums = VariogramAccumulator(LagBins.even(1, 200.0), dissimilarity="squared")
    sums.add(places, values, engine=Engine(backend=backend))
    total = sums.total()
    pairs = (count // 2) ** 2
    assert total[FIRST, COUNT] == pairs
    assert total[0, COUNT] == count * (count - 1) // 2 - pairs
    for moment, one in ((VALUE, 0.045), (SQUARE, 0.045**2)):
        assert total[FIRST, moment] == pytest.approx(pairs * one, rel=1e-6)
    # what float32 rounds of one value it rounds of all alike: no drift on top of it
    single = np.float32(0.3) ** 2 / np.float32(2)
    assert total[FIRST, VALUE] / pairs == pytest.approx(float(single), rel=1e-12)
    assert pairs >= (1e8 if backend == "numba" else 4e6)


def test_bad_input_is_refused_and_nothing_is_lost(clustered_places):
    places, values, group = samples(clustered_places)
    sums = VariogramAccumulator(KM, group_count=5)
    sums.add(places, values, groups=group)
    before = sums.moments.clone()
    broken = values.copy()
    broken[7, 2] = np.nan
    zero = values.copy()
    zero[9] = 0.0
    for arguments, error, word in (
        ((places, broken, group), DataError, "sample 7 is not finite"),
        ((places, zero, group), DataError, "sample 9 have no length"),
        ((places[:9], values, group), DataError, "9 places for 150"),
        ((places, values, group + 1), ConfigError, "from 0 to 4"),
        ((places, values, group[:9]), DataError, "9 groups"),
        ((places + 100.0, values, group), CoordinateError, "latitude"),
        ((places, values[:, :1], group), DataError, "no cosine"),
        ((places[:0], values[:0], group[:0]), DataError, "no samples"),
        ((places, values.astype(str), group), DataError, "real numbers"),
        ((places, values[:, :, None], group), DataError, "expected"),
    ):
        with pytest.raises(error, match=word):
            sums.add(arguments[0], arguments[1], groups=arguments[2])
        assert torch.equal(sums.moments, before)
    with pytest.raises(ConfigError, match="at least one"):
        sums.add(places, values, groups=group, pairs=0)
    with pytest.raises(DataError, match="6 and 5"):
        sums.add_between((places, values, group), (places, values[:, :5], group))
    with pytest.raises(ConfigError, match="group"):
        VariogramAccumulator(KM, group_count=0)


def test_roots_are_summed_where_asked(clustered_places):
    places, values, _ = samples(clustered_places)
    plain = VariogramAccumulator(KM)
    plain.add(places, values)
    assert not plain.moments[..., ROOT].any()
    with pytest.raises(ConfigError, match="roots=True"):
        plain.variogram("cressie")
    rooted = VariogramAccumulator(KM, roots=True)
    with pytest.raises(MismatchError, match="roots"):
        rooted += plain
    rooted.add(places, values)
    assert (rooted.variogram("cressie").semivariance > 0).all()
