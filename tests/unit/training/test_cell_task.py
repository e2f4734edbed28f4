from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from training_worlds import (
    FAST,
    ImageStream,
    StopAt,
    assert_same_checkpoints,
    hemispheres,
    make_trainer,
    tiny_model,
)

from geoloc.errors import ConfigError
from geoloc.geodesy import great_circle_km
from geoloc.losses import cell_cross_entropy, contrastive_loss
from geoloc.negatives import BatchAndQueue, PlaceQueue
from geoloc.training import (
    CellTask,
    Objective,
    PairTiling,
    Trainer,
    TrainerSettings,
    cell_targets,
    contrastive_step,
    find_latest,
    seed_everything,
)


def with_head():
    model = tiny_model()
    torch.manual_seed(3)
    model.add_cell_head(2)
    return model


def trainer(folder: Path, sink: StopAt) -> Trainer:
    seed_everything(5)
    made = Trainer(
        with_head(),
        ImageStream(),
        Objective(
            source=BatchAndQueue(PlaceQueue(10)),
            tiling=PairTiling(loss=contrastive_loss),
            cells=CellTask(cells=hemispheres(), weight=2.0),
        ),
        settings=TrainerSettings(epochs=3, optimizer=FAST, log_every_steps=1),
        folder=folder,
        sinks=(sink,),
    )
    sink.trainer = made
    return made


def test_targets_by_hand_and_smoothed_ones_fall_with_distance():
    place = torch.tensor([[10.0, 20.0], [-5.0, 170.0]], dtype=torch.float64)
    centre = torch.tensor([[9.0, 21.0], [0.0, 0.0], [-6.0, -178.0]], dtype=torch.float64)
    own = torch.tensor([0, 2])
    hard = cell_targets(place, own, centre, smoothing_km=0.0)
    assert hard.tolist() == [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    soft = cell_targets(place, own, centre, smoothing_km=900.0)
    for row in range(2):
        apart = [float(great_circle_km(place[row], each)) for each in centre]
        weight = np.exp(-np.maximum(np.array(apart) - apart[int(own[row])], 0.0) / 900.0)
        np.testing.assert_allclose(soft[row], weight / weight.sum(), rtol=1e-5)
    narrow = cell_targets(place, own, centre, smoothing_km=1.0)
    torch.testing.assert_close(narrow, hard)


def test_no_nearer_centre_has_a_larger_share_than_the_own_cell():
    place = torch.tensor([[0.0, 0.0]], dtype=torch.float64)
    centre = torch.tensor([[0.0, 30.0], [0.0, 1.0]], dtype=torch.float64)
    share = cell_targets(place, torch.tensor([0]), centre, smoothing_km=50.0)
    assert share.tolist() == [[0.5, 0.5]]


def test_the_loss_is_torchs_cross_entropy():
    logits, target = torch.randn(7, 5), torch.softmax(torch.randn(7, 5), dim=1)
    found = cell_cross_entropy(logits, target)
    theirs = torch.nn.functional.cross_entropy(logits, target, reduction="none")
    torch.testing.assert_close(found, theirs)
    assert cell_cross_entropy(logits.bfloat16(), target).dtype == torch.float32


def test_the_step_adds_the_weighted_loss_and_its_gradient_reaches_image_and_head():
    model, task = with_head().eval(), CellTask(cells=hemispheres(), weight=0.5)
    batch = task.labelled(ImageStream().batch(0, 0))
    assert batch.cell is not None
    assert batch.cell.tolist() == (batch.latlon_deg[:, 0] > 0).long().tolist()
    plain = Objective(source=BatchAndQueue(None), batch_noise_m=0.0)
    both = Objective(source=BatchAndQueue(None), batch_noise_m=0.0, cells=task)
    generator = torch.Generator()
    alone = contrastive_step(model, batch, plain, generator=generator)
    added = contrastive_step(model, batch, both, generator=generator)
    torch.testing.assert_close(
        added.loss - alone.loss, 0.5 * added.values["cell_loss"], rtol=1e-4, atol=1e-6
    )
    logits = model.cell_logits(model.embed_batch(batch))
    right = torch.nn.functional.cross_entropy(logits, batch.cell)
    torch.testing.assert_close(added.values["cell_loss"], right.detach())
    assert model.cell_head is not None
    added.loss.backward()
    grads = [model.cell_head.weight.grad, model.mlp[0].weight.grad]
    assert all(grad is not None and bool((grad != 0).any()) for grad in grads)


def test_the_head_learns_what_the_images_tell(tmp_path):
    sink = StopAt()
    trainer(tmp_path, sink).run()
    losses = [values["train/cell_loss"] for _, values in sink.written if "train/loss" in values]
    assert np.mean(losses[-4:]) < np.mean(losses[:4]) - 0.02


@pytest.mark.parametrize("stop", [2, 5])
def test_a_resumed_run_ends_with_the_same_bits(tmp_path, stop):
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    trainer(straight, StopAt()).run()
    trainer(stopped, StopAt(stop)).run()
    again = trainer(stopped, StopAt())
    assert again.restore() == stop
    again.run()
    ends = [find_latest(folder / "checkpoints") for folder in (straight, stopped)]
    assert ends[0] is not None
    assert ends[1] is not None
    assert_same_checkpoints(ends[0], ends[1])


def test_a_model_without_the_head_draws_as_before_and_settings_are_checked():
    assert not any(name.startswith("cell_head") for name in tiny_model().state_dict())
    with pytest.raises(ConfigError, match="above 0"):
        CellTask(cells=hemispheres(), weight=0.0)


def test_without_cells_make_trainer_is_unchanged(tmp_path):
    sink = StopAt()
    make_trainer(tmp_path, sink=sink, epochs=1).run()
    assert not any("train/cell_loss" in values for _, values in sink.written)
