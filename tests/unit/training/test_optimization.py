from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from training_worlds import tiny_model

from geoloc.errors import CheckpointError, ConfigError, TrainingError
from geoloc.models import DualEncoder
from geoloc.training import OptimizerSettings, learning_rate_factor
from geoloc.training.optimization import GuardedOptimizer


def factor(settings: OptimizerSettings, step: int, epoch: int = 0, total: int | None = 100):
    return learning_rate_factor(settings, step=step, epoch=epoch, total_steps=total)


def test_geoclip_multiplies_by_087_each_epoch():
    settings = OptimizerSettings()
    assert [factor(settings, 999, epoch) for epoch in (0, 1, 2)] == [1.0, 0.87, 0.87**2]


def test_cosine_with_warm_up_at_known_points():
    settings = OptimizerSettings(schedule="cosine", warmup_steps=10, final_factor=0.1)
    assert factor(settings, 0) == pytest.approx(0.1)
    assert factor(settings, 4) == pytest.approx(0.5)
    assert factor(settings, 10) == pytest.approx(1.0)
    assert factor(settings, 55) == pytest.approx(0.55)
    assert factor(settings, 100) == pytest.approx(0.1)
    assert factor(settings, 500) == pytest.approx(0.1)


@given(step=st.integers(0, 400), warm=st.integers(0, 50), total=st.integers(1, 300))
def test_no_schedule_leaves_zero_to_one(step: int, warm: int, total: int):
    for schedule in ("cosine", "exponential", "constant"):
        settings = OptimizerSettings(schedule=schedule, warmup_steps=warm)  # type: ignore[arg-type]
        assert 0.0 <= factor(settings, step, step // 50, total) <= 1.0


def test_a_cosine_over_an_unknown_number_of_steps_is_refused():
    with pytest.raises(ConfigError, match="no sizes"):
        factor(OptimizerSettings(schedule="cosine"), 0, total=None)


def gradients(model: DualEncoder, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.randn(parameter.shape, generator=generator)


@pytest.mark.parametrize("name", ["adam", "adamw"])
@pytest.mark.parametrize("clip_norm", [None, 0.3])
def test_equals_torch_with_rates_and_decay_by_group(name: str, clip_norm: float | None):
    settings = OptimizerSettings(
        name=name,  # type: ignore[arg-type]
        learning_rate=0.01, backbone_factor=0.1, weight_decay=0.2, clip_norm=clip_norm,
    )  # fmt: skip
    ours, theirs = tiny_model(), tiny_model()
    optimizer = GuardedOptimizer(ours, settings)
    groups = [
        {
            "params": [p],
            "lr": 0.001 if n.startswith("image_encoder") else 0.01,
            "weight_decay": 0.0 if n.endswith("bias") or p.ndim < 2 else 0.2,
        }
        for n, p in theirs.named_parameters()
        if p.requires_grad
    ]
    reference = (torch.optim.Adam if name == "adam" else torch.optim.AdamW)(groups)
    for seed in range(4):
        gradients(ours, seed)
        gradients(theirs, seed)
        norm, skipped = optimizer.step(torch.tensor(1.0), factor=0.5)
        total = math.sqrt(sum(float(g["params"][0].grad.square().sum()) for g in groups))
        assert float(norm) == pytest.approx(total, rel=1e-4)
        assert float(skipped) == 0.0
        for group in reference.param_groups:
            group["lr"] = 0.5 * (0.001 if group["lr"] in (0.001, 0.0005) else 0.01)
        if clip_norm is not None:
            torch.nn.utils.clip_grad_norm_([g["params"][0] for g in groups], clip_norm)
        reference.step()
    for (key, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6), key


@pytest.mark.parametrize("kind", ["loss", "gradient", "clipped gradient"])
def test_a_step_that_is_not_finite_changes_nothing_at_all(kind: str):
    model = tiny_model()
    clip = 1.0 if kind == "clipped gradient" else None
    optimizer = GuardedOptimizer(model, OptimizerSettings(learning_rate=0.1, clip_norm=clip))
    gradients(model, 1)
    optimizer.step(torch.tensor(1.0), factor=1.0)
    weights = {k: v.clone() for k, v in model.state_dict().items()}
    moments = {k: v.clone() for k, v in optimizer.state_dict().items()}
    gradients(model, 2)
    if kind != "loss":
        model.mlp[0].weight.grad[0, 0] = torch.inf
    loss = torch.tensor(torch.nan if kind == "loss" else 1.0)
    _, skipped = optimizer.step(loss, factor=1.0)
    assert float(skipped) == 1.0
    assert all(torch.equal(v, weights[k]) for k, v in model.state_dict().items())
    assert all(torch.equal(v, moments[k]) for k, v in optimizer.state_dict().items())
    gradients(model, 3)
    optimizer.step(torch.tensor(1.0), factor=1.0)
    assert not torch.equal(model.mlp[0].weight, weights["mlp.0.weight"])


def test_frozen_parameters_are_neither_moved_nor_saved():
    model = tiny_model(frozen=True)
    optimizer = GuardedOptimizer(model, OptimizerSettings())
    gradients(model, 0)
    optimizer.step(torch.tensor(1.0), factor=1.0)
    assert not any(name.startswith("image_encoder") for name in optimizer.state_dict())


def test_state_of_another_model_is_refused():
    optimizer = GuardedOptimizer(tiny_model(), OptimizerSettings())
    with pytest.raises(CheckpointError, match="nowhere"):
        optimizer.load_state_dict({"nowhere|exp_avg": torch.zeros(3)})
    with pytest.raises(CheckpointError, match="shape"):
        optimizer.load_state_dict({"logit_scale|exp_avg": torch.zeros(3)})


def test_a_model_with_nothing_to_train_is_refused():
    with pytest.raises(TrainingError, match="nothing to train"):
        GuardedOptimizer(tiny_model().requires_grad_(False), OptimizerSettings())
