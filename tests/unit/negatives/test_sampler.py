from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from semivariogram_worlds import smooth_world

from geoloc.batch import GeoBatch
from geoloc.errors import CheckpointError, ConfigError, MismatchError
from geoloc.negatives import EpochExpectation, RefitSettings, SemivariogramSampler
from geoloc.negatives.refit import split_for_fit
from geoloc.ranks import Ranks


@dataclass
class Store:
    latlon_deg: np.ndarray
    feature: torch.Tensor

    def __len__(self) -> int:
        return len(self.latlon_deg)

    def batch(self, rows, *, labels=True, drawn=None):
        del labels
        return GeoBatch(
            key=tuple(f"s{row}" for row in rows),
            latlon_deg=torch.from_numpy(self.latlon_deg[rows]),
            feature=self.feature[torch.from_numpy(rows)],
        )


def own_feature(batch: GeoBatch) -> torch.Tensor:
    assert batch.feature is not None
    return batch.feature


def sampler(n: int = 300, batch_size: int = 32, **changed) -> SemivariogramSampler:
    latlon, feature = smooth_world(n, features=32)
    settings = {"refit": RefitSettings(samples=200, pairs=20_000), "hard_share": 0.25, **changed}
    return SemivariogramSampler(
        Store(latlon, feature), batch_size, own_feature, EpochExpectation(), **settings
    )


def keys(batches) -> list[tuple[str, ...]]:
    return [batch.key for batch in batches]


def test_every_sample_comes_once_an_epoch_before_and_after_the_first_fit():
    samples = sampler()
    for epoch in range(3):
        batches = keys(samples.epoch(epoch))
        assert sorted(k for batch in batches for k in batch) == sorted(f"s{i}" for i in range(300))
        assert len(batches) == samples.steps_per_epoch == 10
        assert (samples.expectation.current is None) == (epoch == 0)


def test_what_is_fitted_each_epoch_is_that_epochs_features():
    samples = sampler(refit=RefitSettings(samples=200, pairs=20_000, every_epochs=2))
    seen = []
    for epoch in range(4):
        samples.store.feature = smooth_world(300, features=32, reach=1.0 + 3.0 * epoch)[1]
        list(samples.epoch(epoch))
        current = samples.expectation.current
        seen.append(None if current is None else current.effective_range_km)
    assert seen[0] is None
    assert seen[2] == seen[1], "no fit was due"
    assert seen[3] < 0.7 * seen[1], "features that change faster have a shorter range"


def test_some_samples_are_held_out_of_the_fit_and_reported():
    reports = []
    samples = sampler(on_refit=reports.append)
    list(samples.epoch(1))
    list(samples.epoch(2))
    assert [report.epoch for report in reports] == [1, 2]
    first, second = (report.held_out for report in reports)
    assert len(first) == 60
    assert first.key == second.key, "the same every epoch"
    rows = torch.tensor([int(key[1:]) for key in first.key])
    assert torch.equal(first.feature, samples.store.feature[rows])
    pairs = int(reports[0].expectation.variogram.pair_count.sum())
    assert pairs <= 200 * 199 // 2


def test_the_rows_to_fit_never_meet_those_held_out():
    settings = RefitSettings()
    others, held_out = split_for_fit(1_000, settings, seed=4, epoch=1)
    again, same = split_for_fit(1_000, settings, seed=4, epoch=2)
    assert sorted([*others, *held_out]) == list(range(1_000))
    assert len(held_out) == 200
    assert np.array_equal(held_out, same)
    assert sorted(others) == sorted(again)
    assert not np.array_equal(others, again)
    assert len(split_for_fit(100_000, settings, seed=4, epoch=1)[1]) == 4_096


def test_a_run_cut_inside_an_epoch_goes_on_with_the_same_batches_and_fit():
    straight = keys(sampler().epoch(1))
    first = sampler()
    running = first.epoch(1)
    begun = [next(running).key for _ in range(4)]
    state, tensors = first.state(), first.tensor_state()
    second = sampler()
    # the model has moved on meanwhile: nothing may be fitted anew
    second.store.feature = torch.randn(300, 32, generator=torch.Generator().manual_seed(0))
    second.load_tensor_state(tensors)
    second.restore(state)
    assert begun + keys(second.epoch(1)) == straight
    assert second.expectation.current.fit.to_json() == first.expectation.current.fit.to_json()


def test_positions_of_other_batches_are_refused():
    samples = sampler()
    next(samples.epoch(1))
    other = sampler(batch_size=16)
    with pytest.raises(MismatchError, match="batch_size"):
        other.restore(samples.state())
    with pytest.raises(CheckpointError, match="order"):
        sampler(n=120).load_tensor_state(samples.tensor_state())
    again = sampler()
    again.load_tensor_state(samples.tensor_state())
    again.restore(samples.state())
    with pytest.raises(MismatchError, match="epoch 1"):
        again.epoch(2)


def test_impossible_shares_are_refused():
    with pytest.raises(ConfigError, match="hard_share"):
        sampler(hard_share=1.0)


def _rank(rank: int, world: int, file: str, out: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=world)
    samples = sampler(n=301, batch_size=16, ranks=Ranks.joined())
    given = keys(samples.epoch(1))
    current = samples.expectation.current
    assert current is not None
    torch.save(
        {"keys": given, "curve": current.curve_table, "steps": samples.steps_per_epoch},
        f"{out}/{rank}.pt",
    )
    dist.destroy_process_group()


def test_ranks_share_the_fit_and_divide_the_samples(tmp_path: Path):
    mp.start_processes(
        _rank, (2, str(tmp_path / "rendezvous"), str(tmp_path)), nprocs=2, start_method="spawn"
    )
    one, other = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert torch.equal(one["curve"], other["curve"])
    assert len(one["keys"]) == len(other["keys"]) == one["steps"] == 10
    given = [k for batch in one["keys"] + other["keys"] for k in batch]
    assert sorted(given) == sorted(f"s{i}" for i in range(301))
    alone = keys(sampler(n=301, batch_size=32).epoch(1))
    together = [a + b for a, b in zip(one["keys"], other["keys"], strict=True)]
    assert [set(batch) for batch in together] == [set(batch) for batch in alone]
