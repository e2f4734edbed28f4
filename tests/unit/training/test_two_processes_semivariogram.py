"""A semivariogram rule under two processes, against one process with the whole of each batch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from safetensors.torch import load_file
from training_worlds import FeatureStore, StopAt, tiny_model

from geoloc.batch import GeoBatch
from geoloc.losses import contrastive_loss
from geoloc.negatives import (
    BatchAndQueue,
    EpochExpectation,
    FeatureBank,
    PlaceQueue,
    RefitSettings,
    ReservoirSampler,
    RuleSettings,
    SemivariogramSampler,
    build_rule,
)
from geoloc.ranks import Ranks
from geoloc.training import (
    Objective,
    OptimizerSettings,
    PairTiling,
    Trainer,
    TrainerSettings,
    find_latest,
    seed_everything,
    trained_embeddings,
)

SAMPLES, BATCH = 240, 20
FIT = RefitSettings(samples=180, pairs=4_000)
RULE = RuleSettings(near_km=2_000.0, alike_level=1.0, hard_quantile=0.3)
# Adam divides a gradient by its own size: where that is rounding error, so would the weights be.
STEADY = OptimizerSettings(learning_rate=3e-3, weight_decay=1e-3, eps=1e-3)


class Stream:
    """A process's part of each batch of a stream: every other sample."""

    def __init__(self, ranks: Ranks) -> None:
        self._store = FeatureStore(SAMPLES, 6)
        self._ranks = ranks
        self._start = self._done = 0

    @property
    def steps_per_epoch(self) -> int | None:
        return SAMPLES // BATCH

    def epoch(self, epoch: int) -> Iterator[GeoBatch]:
        start, self._start = self._start, 0
        self._done = start
        order = np.random.default_rng(epoch).permutation(SAMPLES).reshape(-1, BATCH)
        for rows in order[start:]:
            self._done += 1
            yield self._store.batch(np.array_split(rows, self._ranks.size)[self._ranks.rank])

    def state(self) -> dict[str, Any]:
        return {"done": self._done}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._start = int(state["done"])


def train(folder: Path, case: str, ranks: Ranks, *, stop: int | None = None) -> StopAt:
    """Train, or go on; leaves the keys of every batch of this process beside the checkpoints."""
    seed_everything(5)
    model, expectation = tiny_model(frozen=True), EpochExpectation()
    bank = None if case == "cached" else FeatureBank(dtype=torch.float32)
    shared: dict[str, Any] = {"refit": FIT, "seed": 3, "ranks": ranks}
    if bank is None:
        data = SemivariogramSampler(
            FeatureStore(SAMPLES, 6),
            BATCH // ranks.size,
            lambda batch: model.embed_batch(batch).detach(),
            expectation,
            hard_share=0.3,
            **shared,
        )
    else:
        share = 0.3 if case == "reservoir" else 0.0
        data = ReservoirSampler(Stream(ranks), bank, expectation, hard_share=share, **shared)
    given: list[tuple[str, ...]] = []

    def compared(batch: GeoBatch, image: torch.Tensor) -> torch.Tensor | None:
        given.append(batch.key)
        return trained_embeddings(batch, image)

    objective = Objective(
        source=BatchAndQueue(PlaceQueue(30, feature_dim=8), ranks),
        rule=build_rule("semivariogram", RULE),
        expectation=expectation,
        compared=compared,
        bank=bank,
        tiling=PairTiling(loss=contrastive_loss, ranks=ranks),
    )
    sink = StopAt(stop)
    trainer = Trainer(
        model,
        data,
        objective,
        settings=TrainerSettings(epochs=3, optimizer=STEADY, log_every_steps=1),
        folder=folder,
        sinks=(sink,),
    )
    sink.trainer = trainer
    if stop is None and (folder / "checkpoints").exists():
        assert trainer.restore() is not None
    trainer.run()
    (folder / f"keys-{ranks.rank}.json").write_text(json.dumps(given))
    (folder / f"written-{ranks.rank}.json").write_text(json.dumps(sink.written))
    return sink


CASES = ("cached", "stream", "reservoir")


def _process(rank: int, file: str, out: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
    for case in CASES:
        train(Path(out) / case, case, Ranks.joined())
    # Inside the last epoch, when each process's bank holds rows that the other's does not.
    train(Path(out) / "stopped", "stream", Ranks.joined(), stop=29)
    train(Path(out) / "stopped", "stream", Ranks.joined())
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("two")
    file = str(out / "rendezvous")
    mp.start_processes(_process, (file, str(out)), nprocs=2, start_method="spawn")
    return out


def saved(folder: Path, part: str) -> dict[str, torch.Tensor]:
    newest = find_latest(folder / "checkpoints")
    assert newest is not None
    return load_file(newest / f"{part}.safetensors")


def keys(folder: Path, rank: int) -> list[list[str]]:
    return json.loads((folder / f"keys-{rank}.json").read_text())


def logged(folder: Path, name: str, rank: int = 0) -> list[float]:
    written = json.loads((folder / f"written-{rank}.json").read_text())
    return [values[f"train/{name}"] for _, values in written if f"train/{name}" in values]


@pytest.mark.parametrize("case", ["cached", "stream"])
def test_curve_loss_and_weights_are_those_of_one_process(
    case: str, together: Path, tmp_path: Path
) -> None:
    train(tmp_path, case, Ranks())
    for mine, first, second in zip(
        keys(tmp_path, 0), keys(together / case, 0), keys(together / case, 1), strict=True
    ):
        assert mine == first + second
    alone, shared = saved(tmp_path, "extra"), saved(together / case, "extra")
    fit = [name for name in alone if name.startswith("data0.fit.")]
    assert "data0.fit.sums.moments" in fit
    for name in fit:
        found, expected = shared[name].double(), alone[name].double()
        if name.endswith("histogram"):
            # A pair on the edge of a class may fall to either side by a rounding error.
            assert float((found - expected).abs().sum()) <= 1e-3 * float(expected.sum())
        else:
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    # The weights of pairs follow the curve, which is that of one process to 1e-5.
    np.testing.assert_allclose(
        logged(together / case, "loss"), logged(tmp_path, "loss"), atol=0, rtol=5e-5
    )
    for name in ("share_hard", "share_false", "share_negative", "top1_of_candidates"):
        np.testing.assert_allclose(
            logged(together / case, name), logged(tmp_path, name), atol=1e-5, rtol=0
        )
    assert max(logged(tmp_path, "share_hard")) > 0.01
    assert max(logged(tmp_path, "share_false")) > 0.001
    weights = saved(tmp_path, "model")
    for name, tensor in saved(together / case, "model").items():
        torch.testing.assert_close(tensor, weights[name], rtol=0, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_both_processes_judge_by_the_same_curve_and_log_the_same(case: str, together: Path) -> None:
    extra = saved(together / case, "extra")
    names = [name for name in extra if name.startswith("data0.fit.")]
    assert names
    assert all(torch.equal(extra[name], extra[name.replace("data0", "data1")]) for name in names)
    written = [(together / case / f"written-{rank}.json").read_text() for rank in range(2)]
    first, second = (
        [{k: v for k, v in values.items() if "speed" not in k} for _, values in json.loads(each)]
        for each in written
    )
    assert first == second


def test_every_sample_is_seen_once_where_each_process_composes_from_its_own_reservoir(
    together: Path,
) -> None:
    # What meets in a batch depends on who waits in a reservoir, so one process composes others.
    one, two = (keys(together / "reservoir", rank) for rank in range(2))
    steps = SAMPLES // BATCH
    for epoch in range(3):
        part = slice(epoch * steps, (epoch + 1) * steps)
        seen = [key for batch in one[part] + two[part] for key in batch]
        assert sorted(seen) == sorted(str(row) for row in range(SAMPLES))
    assert keys(together / "stream", 0)[:steps] == one[:steps], "nothing is known yet"
    assert keys(together / "stream", 0)[-steps:] != one[-steps:]


def test_a_run_stopped_between_two_shares_of_the_bank_goes_on_with_the_same_bits(
    together: Path,
) -> None:
    for part in ("model", "extra"):
        straight, stopped = (saved(together / name, part) for name in ("stream", "stopped"))
        assert straight.keys() == stopped.keys()
        for name, tensor in straight.items():
            assert torch.equal(tensor.nan_to_num(-7), stopped[name].nan_to_num(-7)), name
