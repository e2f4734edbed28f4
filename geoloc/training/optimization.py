"""Optimisation: the optimizer, its parameter groups, and the learning rate at every step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geoloc.errors import CheckpointError, ConfigError, TrainingError
from geoloc.models import DualEncoder


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerSettings:
    """How weights move. The defaults are GeoCLIP's.

    Attributes:
        name: `adam` adds weight decay to the gradient, `adamw` shrinks the weights directly.
        learning_rate: of everything but the image backbone.
        backbone_factor: the backbone's learning rate as a multiple of `learning_rate`.
        weight_decay: on matrices only; never on biases, norms or the temperature.
        beta1: decay of the mean of gradients.
        beta2: decay of the mean of squared gradients.
        eps: added to the root of the mean square.
        schedule: `exponential` per epoch, `cosine` per step, or `constant`.
        decay_per_epoch: factor of the exponential schedule.
        warmup_steps: steps of linear warm-up, before any schedule.
        final_factor: where the cosine ends, as a multiple of the learning rate.
        clip_norm: gradients are scaled down to this global norm; None leaves them.

    Source: Kingma and Ba (2015); Loshchilov and Hutter (2019) for `adamw`.
    """

    name: Literal["adam", "adamw"] = "adam"
    learning_rate: float = 3e-5
    backbone_factor: float = 0.1
    weight_decay: float = 1e-6
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    schedule: Literal["exponential", "cosine", "constant"] = "exponential"
    decay_per_epoch: float = 0.87
    warmup_steps: int = 0
    final_factor: float = 0.0
    clip_norm: float | None = None


def learning_rate_factor(
    settings: OptimizerSettings, *, step: int, epoch: int, total_steps: int | None
) -> float:
    """What the learning rate is multiplied with at a step; a pure function, so it has no state.

    Args:
        settings: the schedule.
        step: optimizer steps taken before this one, over the whole run.
        epoch: epochs finished before this one.
        total_steps: optimizer steps of the whole run; only the cosine needs it.

    Raises:
        ConfigError: a cosine schedule without a known number of steps.

    Source: Loshchilov and Hutter (2017), eq. 5, one cycle, for the cosine.
    """
    warm = min(1.0, (step + 1) / settings.warmup_steps) if settings.warmup_steps > 0 else 1.0
    if settings.schedule == "exponential":
        return warm * settings.decay_per_epoch**epoch
    if settings.schedule == "constant":
        return warm
    if total_steps is None:
        raise ConfigError(
            "a cosine schedule needs the number of steps, and the shards have no sizes.json that "
            "tells it: use optimizer.schedule=exponential, or write the shards with geoloc"
        )
    span = max(1, total_steps - settings.warmup_steps)
    progress = min(1.0, max(0.0, (step - settings.warmup_steps) / span))
    cosine = 0.5 * (1.0 + math.cos(math.pi * progress))
    return warm * (settings.final_factor + (1.0 - settings.final_factor) * cosine)


class GuardedOptimizer:
    """Adam or AdamW that leaves everything as it was when loss or gradient are not finite.

    The guard lives on the device (the fused kernels read a flag there), so a step never waits.

    Args:
        model: its parameters that need a gradient are optimised.
        settings: the optimizer.

    Raises:
        TrainingError: no parameter of the model needs a gradient.
    """

    def __init__(self, model: DualEncoder, settings: OptimizerSettings) -> None:
        self._settings = settings
        self._named = {n: p for n, p in model.named_parameters() if p.requires_grad}
        if not self._named:
            raise TrainingError("no parameter of the model needs a gradient: nothing to train")
        kind = torch.optim.Adam if settings.name == "adam" else torch.optim.AdamW
        self._optimizer = kind(
            _parameter_groups(model, settings),
            lr=settings.learning_rate,
            betas=(settings.beta1, settings.beta2),
            eps=settings.eps,
            fused=True,
        )

    def zero_grad(self) -> None:
        """Forget the gradients."""
        self._optimizer.zero_grad(set_to_none=True)

    def step(
        self, loss: Float[Tensor, ""], *, factor: float
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Move the weights by the gradients that stand in the parameters.

        Args:
            loss: the loss whose gradients they are; only its finiteness is looked at.
            factor: multiplies every learning rate at this step.

        Returns:
            (global gradient norm before clipping, 1.0 if the step was skipped else 0.0).
        """
        parameters = list(self._named.values())
        gradients = [p.grad for p in parameters if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients, foreach=True)
        skipped = (~(torch.isfinite(norm) & torch.isfinite(loss.detach()))).float()
        if self._settings.clip_norm is not None:
            nn.utils.clip_grads_with_norm_(parameters, self._settings.clip_norm, norm, foreach=True)
        for group in self._optimizer.param_groups:
            group["lr"] = self._settings.learning_rate * group["rate_factor"] * factor
        # The attribute through which torch's own gradient scaler tells fused kernels to skip.
        self._optimizer.found_inf = skipped  # pyright: ignore[reportAttributeAccessIssue]
        self._optimizer.step()
        return norm, skipped

    def state_dict(self) -> dict[str, Tensor]:
        """The moments and step counts, named `parameter|quantity`."""
        state = self._optimizer.state
        return {
            f"{name}|{quantity}": value
            for name, parameter in self._named.items()
            for quantity, value in state.get(parameter, {}).items()
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state_dict` gave.

        Raises:
            CheckpointError: the state names a parameter this model does not train, or of another
                shape.
        """
        for key, value in state.items():
            name, _, quantity = key.rpartition("|")
            parameter = self._named.get(name)
            if parameter is None or (quantity != "step" and value.shape != parameter.shape):
                raise CheckpointError(
                    f"the saved optimizer has {key} of shape {tuple(value.shape)}, which this "
                    "model does not train: resume with the same model"
                )
            self._optimizer.state[parameter][quantity] = value.to(parameter.device, copy=True)


def _parameter_groups(model: DualEncoder, settings: OptimizerSettings) -> list[dict[str, object]]:
    """Trained parameters by (backbone or not) and (decayed or not); empty groups left out."""
    trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    groups: list[dict[str, object]] = []
    for in_backbone in (False, True):
        for decayed in (True, False):
            members = [
                parameter
                for name, parameter in trained
                if name.startswith("image_encoder.") == in_backbone
                # Biases, norms and the temperature have at most one axis.
                and (parameter.ndim > 1) == decayed
            ]
            if members:
                groups.append(
                    {
                        "params": members,
                        "weight_decay": settings.weight_decay if decayed else 0.0,
                        "rate_factor": settings.backbone_factor if in_backbone else 1.0,
                    }
                )
    return groups
