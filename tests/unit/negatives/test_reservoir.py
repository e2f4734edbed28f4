from __future__ import annotations

import json
from functools import cache
from io import BytesIO

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from semivariogram_worlds import fitted, smooth_world

from geoloc.batch import GeoBatch
from geoloc.data.record import Record
from geoloc.data.shards import ShardWriter
from geoloc.data.stream import ShardStream
from geoloc.errors import CheckpointError, ConfigError, MismatchError
from geoloc.geodesy import great_circle_km, sample_sphere
from geoloc.models.image_encoder import ImagePreset
from geoloc.negatives import (
    EpochExpectation,
    MiningSettings,
    RefitSettings,
    compose_batches,
    mine_hard_negatives,
)
from geoloc.negatives.bank import FeatureBank
from geoloc.negatives.reservoir import ReservoirSampler

QUICK = RefitSettings(samples=400, pairs=80_000)
NEVER = RefitSettings(warmup_epochs=1000)


@cache
def world(n: int):
    latlon, feature = smooth_world(n, features=32)
    return latlon, feature


@cache
def fitted_once(n: int):
    return fitted(*world(n))


class Stream:
    """Samples in an order of (epoch) in batches of some sizes; can be cut and resumed."""

    def __init__(self, latlon: np.ndarray, batch_size: int = 20, *, short: int = 0) -> None:
        self.latlon, self.batch_size, self.short = latlon, batch_size, short
        self.read, self.at, self.reading = 0, 0, 0
        self.closed = 0

    @property
    def steps_per_epoch(self):
        return len(self.cuts()) + 1

    def cuts(self):
        cuts = np.arange(self.batch_size, len(self.latlon), self.batch_size)
        # as with two workers: a short batch in the middle
        return np.unique([*cuts, self.short]) if self.short else cuts

    def epoch(self, epoch):
        order = np.random.default_rng(epoch).permutation(len(self.latlon))
        start, self.at = self.at, 0
        self.reading = start
        try:
            for rows in np.split(order, self.cuts())[start:]:
                self.reading += 1
                self.read += 1
                yield self.batch(rows)
        finally:
            self.closed += 1

    def batch(self, rows):
        return GeoBatch(
            key=tuple(f"s{row}" for row in rows),
            latlon_deg=torch.from_numpy(self.latlon[rows]),
            image=torch.from_numpy(rows).float()[:, None, None, None].expand(-1, 3, 2, 2),
            label=tuple({"row": int(row)} for row in rows),
        )

    def state(self):
        return {"reading": self.reading}

    def restore(self, state):
        self.at = self.reading = state["reading"]


def reservoir(n: int = 400, source=None, *, known: bool = True, **changed) -> ReservoirSampler:
    latlon, feature = world(n)
    bank, expectation = FeatureBank(), EpochExpectation()
    chosen = {"reservoir_batches": 4, "hard_share": 0.25, "refit": QUICK, **changed}
    if known:
        bank.put([f"s{i}" for i in range(n)], torch.from_numpy(latlon), feature)
        # fitted before, so that the tests need not fit again and again
        expectation.current = fitted_once(n)
        chosen["refit"] = NEVER
    source = Stream(latlon) if source is None else source
    return ReservoirSampler(source, bank, expectation, **chosen)


def keys(batches) -> list[tuple[str, ...]]:
    return [batch.key for batch in batches]


def rows(batches) -> list[np.ndarray]:
    return [np.array([int(key[1:]) for key in batch.key]) for batch in batches]


@settings(max_examples=12, deadline=None)
@given(
    n=st.sampled_from([60, 101, 150]),
    batch_size=st.sampled_from([4, 17, 40]),
    short=st.sampled_from([0, 7]),
    reservoir_batches=st.integers(1, 6),
    hard_share=st.sampled_from([0.0, 0.3, 0.9]),
    same_place_km=st.sampled_from([0.0, 800.0]),
)
def test_every_sample_goes_out_once_in_batches_of_the_sizes_that_came(
    n, batch_size, short, reservoir_batches, hard_share, same_place_km
):
    latlon, _ = world(n)
    source = Stream(latlon, batch_size, short=short)
    samples = reservoir(
        n,
        source,
        reservoir_batches=reservoir_batches,
        hard_share=hard_share,
        same_place_km=same_place_km,
    )
    given_out = list(samples.epoch(1))
    assert [len(batch) for batch in given_out] == [len(batch) for batch in source.epoch(1)]
    assert len(given_out) == samples.steps_per_epoch
    assert sorted(k for batch in given_out for k in batch.key) == sorted(f"s{i}" for i in range(n))


def test_what_belongs_to_a_sample_goes_with_it():
    samples = reservoir()
    for batch in samples.epoch(1):
        row = torch.tensor([int(key[1:]) for key in batch.key])
        assert batch.image is not None
        assert torch.equal(batch.image, row.float()[:, None, None, None].expand(-1, 3, 2, 2))
        assert np.array_equal(batch.latlon_deg.numpy(), samples.source.latlon[row.numpy()])
        assert [label["row"] for label in batch.label] == row.tolist()


def test_without_a_bank_the_stream_passes_unchanged_by_reference():
    samples = reservoir(known=False)
    given_out = list(samples.epoch(0))
    assert keys(given_out) == keys(samples.source.epoch(0))
    assert samples.expectation.current is None
    latlon, _ = world(40)
    held = [Stream(latlon).batch(np.arange(20)), Stream(latlon).batch(np.arange(20, 40))]

    class Two(Stream):
        def epoch(self, epoch):
            yield from held

    passed = list(reservoir(source=Two(latlon), known=False).epoch(0))
    assert all(a is b for a, b in zip(passed, held, strict=True))


def unordered(hard) -> np.ndarray:
    one, at = np.nonzero(hard >= 0)
    return np.unique(np.sort(np.stack([one, hard[one, at]], axis=1), axis=1), axis=0)


def met(batches, pairs) -> int:
    batch_of = {int(row): number for number, each in enumerate(batches) for row in each}
    return sum(batch_of[int(a)] == batch_of[int(b)] for a, b in pairs)


def test_most_hard_pairs_of_random_access_meet_in_the_reservoir_too():
    n, size = 3000, 60
    latlon, feature = world(n)
    mining = MiningSettings(per_anchor=64)
    found = mine_hard_negatives(latlon, feature, fitted_once(n), mining)
    # all that mining calls hard, and of each sample the four hardest, as by default
    pairs, hard = unordered(found), found[:, :4]
    none = np.empty((n, 0), dtype=np.int64)
    plain = met(compose_batches(none, latlon, batch_size=size, share=0.0), pairs)
    random_access = met(compose_batches(hard, latlon, batch_size=size, share=0.25), pairs)
    samples = reservoir(n, Stream(latlon, size), reservoir_batches=8)
    from_stream = met(rows(samples.epoch(1)), pairs)
    # a sixth of the batches are of the end, when the reservoir empties
    assert from_stream >= 0.75 * random_access
    assert random_access > 1.3 * plain, "otherwise the line above says nothing"


def test_who_is_brought_along_is_far_and_more_alike_than_others():
    samples = reservoir(1000, Stream(world(1000)[0], 50))
    given_out = rows(samples.epoch(1))
    expectation = samples.expectation.current
    assert expectation is not None
    latlon = samples.source.latlon
    feature = samples.bank.lookup([f"s{i}" for i in range(1000)])
    # a batch begins with its hardest pair: an anchor, then whom it brings
    pair = np.array([batch[:2] for batch in given_out[:-4]])
    lag_km = great_circle_km(latlon[pair[:, 0]], latlon[pair[:, 1]])
    assert bool((lag_km > expectation.effective_range_km).all())
    distance = 1.0 - (feature[pair[:, 0]] * feature[pair[:, 1]]).sum(dim=1)
    score = expectation.score(torch.from_numpy(lag_km).float()[None], distance[None])
    assert float(score.max()) < MiningSettings().quantile


def test_no_two_of_one_place_share_a_batch_until_the_reservoir_drains():
    places = np.repeat(sample_sphere(100, generator=np.random.default_rng(0)), 4, axis=0)
    samples = reservoir(400, Stream(places), same_place_km=1.0)
    given_out = rows(samples.epoch(1))
    for batch in given_out[:-4]:
        lag_km = great_circle_km(places[batch][:, None], places[batch][None])
        assert int((lag_km <= 1.0).sum()) == len(batch)


def test_a_place_of_many_samples_does_not_wait_for_ever():
    latlon = world(600)[0].copy()
    latlon[:300] = 0.0
    source = Stream(latlon, 10)
    came = {key: number for number, batch in enumerate(source.epoch(1)) for key in batch.key}
    went = enumerate(reservoir(600, source, same_place_km=1.0, reservoir_batches=3).epoch(1))
    waited = [number - came[key] for number, batch in went for key in batch.key]
    # a batch of overdue samples may push others one batch further
    assert max(waited) <= 4 * 3 + 1


def test_equal_epochs_are_equal_and_others_differ():
    assert keys(reservoir().epoch(1)) == keys(reservoir().epoch(1))
    assert keys(reservoir().epoch(1)) != keys(reservoir().epoch(2))


@pytest.mark.parametrize("cut", [1, 7, 18, 20])
@pytest.mark.parametrize("hard_share", [0.25, 0.8])
def test_a_pass_cut_in_the_middle_goes_on_exactly(cut, hard_share):
    changed = {"hard_share": hard_share, "same_place_km": 900.0}
    straight = keys(reservoir(**changed).epoch(1))
    first = reservoir(**changed)
    running = first.epoch(1)
    begun = []
    for number, batch in zip(range(cut), running, strict=False):
        begun.append(batch.key)
        # as a step does: what has gone out is seen anew
        new = torch.randn(len(batch), 32, generator=torch.Generator().manual_seed(number))
        first.bank.put(batch.key, batch.latlon_deg, new)
    state = json.loads(json.dumps(first.state()))
    next(running, None)  # a trainer fetches before it saves
    tensors = first.tensor_state()
    second = reservoir(known=False, **changed)
    second.load_tensor_state(tensors)
    second.restore(state)
    assert second.state() == state
    assert begun + keys(second.epoch(1)) == straight
    assert second.source.read <= len(straight) - cut + 4 * 4, "only the reservoir is read again"
    assert sorted(keys(second.epoch(2))) != sorted(straight)


def test_a_position_taken_again_after_a_resume_is_good_too():
    straight = keys(reservoir().epoch(1))
    samples = reservoir()
    begun = []
    for _ in range(4):
        running = samples.epoch(1)
        begun += [next(running).key for _ in range(3)]
        state, tensors = samples.state(), samples.tensor_state()
        running.close()
        samples = reservoir(known=False)
        samples.load_tensor_state(tensors)
        samples.restore(state)
    assert begun + keys(samples.epoch(1)) == straight


def test_a_pass_left_early_closes_its_source():
    samples = reservoir()
    running = samples.epoch(1)
    next(running)
    running.close()
    assert samples.source.closed == 1


def test_it_fits_to_the_bank_where_a_fit_is_due():
    reports = []
    samples = reservoir(known=False, on_refit=reports.append)
    _, feature = world(400)
    for epoch in range(3):
        for batch in samples.epoch(epoch):
            row = torch.tensor([int(key[1:]) for key in batch.key])
            samples.bank.put(batch.key, batch.latlon_deg, feature[row])
    assert [report.epoch for report in reports] == [1, 2]
    first, second = (report.held_out for report in reports)
    assert len(first) == 80
    assert first.key == second.key
    assert torch.equal(first.feature, samples.bank.lookup(first.key))
    pairs = int(reports[0].expectation.variogram.pair_count.sum())
    assert pairs <= 320 * 319 // 2


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match="reservoir of 0"):
        reservoir(reservoir_batches=0)
    samples = reservoir()
    next(samples.epoch(1))
    with pytest.raises(MismatchError, match="reservoir_batches"):
        reservoir(reservoir_batches=5).restore(samples.state())
    other = reservoir()
    other.restore(samples.state())
    with pytest.raises(MismatchError, match="epoch 1"):
        other.epoch(2)
    with pytest.raises(CheckpointError, match="no bank"):
        other.load_tensor_state({})
    changed = reservoir(source=Stream(world(400)[0], batch_size=50))
    changed.restore(samples.state())
    with pytest.raises(MismatchError, match="does not give again"):
        list(changed.epoch(1))


def test_a_stream_of_shards_goes_on_exactly(tmp_path):
    latlon, _ = world(120)
    with ShardWriter(tmp_path / "shards", samples_per_shard=20) as writer:
        for row in range(120):
            pixels = np.random.default_rng(row).integers(0, 255, (16, 16, 3), np.uint8)
            buffer = BytesIO()
            Image.fromarray(pixels).save(buffer, "JPEG")
            place = (float(latlon[row, 0]), float(latlon[row, 1]))
            writer.write(
                Record(key=f"s{row}", image_bytes=buffer.getvalue(), latlon_deg=place, label={})
            )

    def stream() -> ReservoirSampler:
        source = ShardStream(tmp_path / "shards", ImagePreset(size=16), batch_size=8, seed=3)
        return reservoir(120, source, reservoir_batches=3)

    straight = list(stream().epoch(1))
    first = stream()
    running = first.epoch(1)
    begun = [next(running) for _ in range(6)]
    state, tensors = first.state(), first.tensor_state()
    running.close()
    second = stream()
    second.load_tensor_state(tensors)
    second.restore(json.loads(json.dumps(state)))
    resumed = begun + list(second.epoch(1))
    assert keys(resumed) == keys(straight)
    for one, other in zip(resumed, straight, strict=True):
        assert torch.equal(one.image, other.image)
    assert second.source.ledger.valid == 120
    assert keys(second.epoch(2)) == keys(first.epoch(2))
