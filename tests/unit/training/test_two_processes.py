"""Two processes with half a batch each, against one process with the whole of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from safetensors.torch import load_file
from training_worlds import ImageStream, hemispheres, tiny_model

from geoloc.batch import GeoBatch
from geoloc.errors import CheckpointError
from geoloc.losses import PairLoss, contrastive_loss, graded_contrastive_loss, sigmoid_loss
from geoloc.negatives import BatchAndQueue, PlaceQueue, RuleSettings, build_rule
from geoloc.ranks import Ranks
from geoloc.training import (
    CellTask,
    Objective,
    OptimizerSettings,
    PairTiling,
    Trainer,
    TrainerSettings,
    seed_everything,
)

CASES: dict[str, tuple[PairLoss, bool, int | None]] = {
    "one_way": (contrastive_loss, False, None),
    "both_ways": (contrastive_loss, True, None),
    "tiles": (graded_contrastive_loss, True, 30),
    "sigmoid": (sigmoid_loss, False, 30),
    "cells": (contrastive_loss, False, None),
    "smoothed_cells": (contrastive_loss, True, 30),
}
SMOOTHING_KM = {"cells": 0.0, "smoothed_cells": 3000.0}


# Adam divides a gradient by its own size: where that is rounding error, so would the weights be.
STEADY = OptimizerSettings(learning_rate=3e-3, weight_decay=1e-3, eps=1e-3)


class Lines:
    """Keeps losses and the share of cells found in a file that is never left open."""

    names = ("train/loss", "train/cell_loss", "train/cell_top1")

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path

    def rewind(self, step: int) -> None:
        del step

    def write(self, step: int, values: Mapping[str, float]) -> None:
        if "train/loss" in values:
            with self.path.open("a") as stream:
                told = (repr(values[name]) for name in self.names if name in values)
                stream.write(f"{step} {' '.join(told)}\n")

    def close(self) -> None:
        pass


class Part(ImageStream):
    """A process's part of every batch; batches of 7 do not divide by two."""

    def __init__(self, ranks: Ranks, *, batches: int = 5) -> None:
        super().__init__(batches=batches)
        self.ranks = ranks

    def epoch(self, epoch: int) -> Iterator[GeoBatch]:
        for batch in super().epoch(epoch):
            rows = torch.arange(len(batch)).tensor_split(self.ranks.size)[self.ranks.rank]
            assert batch.image is not None
            yield replace(
                batch,
                key=tuple(batch.key[i] for i in rows.tolist()),
                latlon_deg=batch.latlon_deg[rows],
                image=batch.image[rows],
            )


def trainer(folder: Path, case: str, data: ImageStream, ranks: Ranks, **settings: Any) -> Trainer:
    loss, both_ways, pairs = CASES[case]
    seed_everything(5)
    tiling = PairTiling(loss=loss, both_ways=both_ways, pairs=pairs, ranks=ranks)
    model, cells = tiny_model(frozen=True), None
    if case in SMOOTHING_KM:
        model.add_cell_head(2)
        km = SMOOTHING_KM[case]
        cells = CellTask(cells=hemispheres(), weight=2.0, smoothing_km=km, ranks=ranks)
    objective = Objective(
        source=BatchAndQueue(PlaceQueue(9, feature_dim=6), ranks),
        rule=build_rule("distance", RuleSettings(near_km=2000.0)),
        tiling=tiling,
        cells=cells,
    )
    defaults: dict[str, Any] = {"epochs": 2, "optimizer": STEADY, "log_every_steps": 1}
    sinks = [Lines(folder / "losses")] if ranks.is_main else []
    return Trainer(
        model,
        data,
        objective,
        settings=TrainerSettings(**(defaults | settings)),
        folder=folder,
        sinks=sinks,
    )


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "checkpoints/last/model.safetensors")


def losses(folder: Path) -> list[list[float]]:
    lines = (folder / "losses").read_text().splitlines()
    return [[float(word) for word in line.split()[1:]] for line in lines]


def _process(rank: int, file: str, out: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
    ranks = Ranks.joined()
    for case in CASES:
        trainer(Path(out) / case, case, Part(ranks), ranks).run()
    # A loss that is not finite must stop both: each is told that of the whole batch.
    task = CellTask(cells=hemispheres(), ranks=ranks)
    model = tiny_model(frozen=True)
    model.add_cell_head(2)
    batch = task.labelled(next(Part(ranks).epoch(0)))
    value, _ = task.loss(model, batch, model.embed_batch(batch))
    assert len(ranks.stacked(value.detach()).unique()) == 1
    grouped = Path(out) / "grouped"
    trainer(grouped, "both_ways", Part(ranks), ranks, accumulate=2).run()
    # One process is told to stop; both save at the same step, and go on together.
    stopped = Path(out) / "stopped"
    first = trainer(stopped, "tiles", Part(ranks), ranks)
    if rank == 1:
        first.request_stop()
    first.run()
    again = trainer(stopped, "tiles", Part(ranks), ranks)
    assert again.restore() == first.step < 10
    again.run()
    # The second process has a batch less: the pass ends for both.
    uneven = Path(out) / "uneven"
    short = trainer(uneven, "one_way", Part(ranks, batches=5 - rank), ranks, epochs=1)
    assert short.run().step == 4
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("two")
    file = str(out / "rendezvous")
    mp.start_processes(_process, (file, str(out)), nprocs=2, start_method="spawn")
    return out


@pytest.mark.parametrize("case", CASES)
def test_loss_and_weights_are_those_of_one_process(
    case: str, together: Path, tmp_path: Path
) -> None:
    trainer(tmp_path, case, ImageStream(), Ranks()).run()
    told = losses(tmp_path)
    assert {len(step) for step in told} == {3 if case in SMOOTHING_KM else 1}
    torch.testing.assert_close(losses(together / case), told, rtol=0, atol=1e-6)
    alone, shared = weights(tmp_path), weights(together / case)
    for name, tensor in alone.items():
        torch.testing.assert_close(shared[name], tensor, rtol=0, atol=1e-6)
    begun = tiny_model(frozen=True).trainable_state()
    assert not torch.allclose(alone["mlp.0.weight"], begun["mlp.0.weight"], atol=1e-3)


def test_accumulated_gradients_are_averaged_once(together: Path, tmp_path: Path) -> None:
    trainer(tmp_path, "both_ways", ImageStream(), Ranks(), accumulate=2).run()
    alone, shared = weights(tmp_path), weights(together / "grouped")
    for name, tensor in alone.items():
        torch.testing.assert_close(shared[name], tensor, rtol=0, atol=1e-6)


def test_processes_that_stop_and_go_on_end_as_if_they_had_not(together: Path) -> None:
    straight, stopped = weights(together / "tiles"), weights(together / "stopped")
    assert all(torch.equal(straight[name], stopped[name]) for name in straight)


def test_as_many_processes_must_resume(together: Path) -> None:
    with pytest.raises(CheckpointError, match="saved by 2 processes, here are 1"):
        trainer(together / "stopped", "tiles", ImageStream(), Ranks()).restore()
