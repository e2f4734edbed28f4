"""One step of training: batch, candidates, evidence, flags, loss. Read this file first.

    batch ── images ── candidates ── evidence ── flags ──┐
               └───────────┴── places ── logits ─────────┴── loss

The queries are the images of the batch. The candidates are the places of the batch and those of a
queue of recent batches. What is known of each (query, candidate) pair is its evidence, measured on
clean places and held against the epoch's semivariogram; a rule turns evidence into flags (positive,
negative, weight); the loss reads logits and flags and nothing else. Plain GeoCLIP is the rule
`all_negatives`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from geoloc.batch import GeoBatch
from geoloc.geodesy import jitter_m
from geoloc.losses import contrastive_loss
from geoloc.models import DualEncoder
from geoloc.negatives import (
    Candidates,
    CandidateSource,
    EpochExpectation,
    FeatureBank,
    NegativeRule,
    all_negatives,
    observe,
)
from geoloc.pairs import PairFlags

PairLoss: TypeAlias = Callable[[Tensor, PairFlags], Tensor]
"""From logits (query, candidate) and flags to one number."""

Compared: TypeAlias = Callable[[GeoBatch, Tensor], Tensor | None]
"""From a batch and its images' embeddings to the features by which pairs are called alike."""


def frozen_features(batch: GeoBatch, image: Tensor) -> Tensor | None:
    """The features of a frozen backbone, where there is one."""
    del image
    return batch.feature


def trained_embeddings(batch: GeoBatch, image: Tensor) -> Tensor | None:
    """The embeddings as they are at this step, without gradient."""
    del batch
    return image.detach().float()


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What a step minimises: whom to compare with, how to judge pairs, which loss.

    Attributes:
        source: chooses the candidates of each batch.
        rule: the verdict on pairs.
        expectation: holds the semivariogram of the epoch, asked anew at every step; None for rules
            that need none.
        compared: gives the features that the semivariogram was fitted to as well.
        bank: takes the features of each batch after its step, where the next fit is made from them.
        loss: reads logits and flags; `contrastive_loss` is GeoCLIP's.
        batch_noise_m: standard deviation per axis, in metres, of the noise on the batch's places.
        queue_noise_m: the same for the places of the queue.
    """

    source: CandidateSource
    rule: NegativeRule = all_negatives
    expectation: EpochExpectation | None = None
    compared: Compared = frozen_features
    bank: FeatureBank | None = None
    loss: PairLoss = contrastive_loss
    batch_noise_m: float = 150.0
    queue_noise_m: float = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutcome:
    """What one forward pass gives: the loss with its gradient, and values worth logging.

    Attributes:
        loss: to be minimised.
        seen: the batch with the features that its pairs were judged by, for the source's `update`.
        values: detached scalars on the device, by name; reading them is left to the caller.
    """

    loss: Float[Tensor, ""]
    seen: GeoBatch
    values: dict[str, Float[Tensor, ""]]


def contrastive_step(
    model: DualEncoder, batch: GeoBatch, objective: Objective, *, generator: torch.Generator
) -> StepOutcome:
    """The loss of one batch; the caller goes backward and tells the source of the batch.

    Args:
        model: the dual encoder, in the mode (train or eval) that the caller wants.
        batch: images or features with clean places, on the model's device.
        objective: candidates, rule and loss.
        generator: the noise of the places is drawn from it; on the batch's device.
    """
    if batch.feature is None and batch.image is not None and model.frozen_backbone:
        batch = replace(batch, feature=model.backbone_features(batch.image))
    image = model.embed_batch(batch)
    seen = replace(batch, feature=objective.compared(batch, image))
    candidates = objective.source.candidates(seen)
    expectation = objective.expectation
    evidence = observe(
        batch.latlon_deg,
        candidates.latlon_deg,
        candidates.own,
        query_feature=seen.feature,
        candidate_feature=candidates.feature,
        expectation=None if expectation is None else expectation.current,
    )
    flags = objective.rule(evidence)
    # One pass over batch and queue: one large product is faster than two small ones.
    place = model.embed_places(noised_places(candidates, objective, generator))
    logits = pair_logits(image, place, model.scale())
    return StepOutcome(
        loss=objective.loss(logits, flags),
        seen=seen,
        values=_values(logits, candidates, flags, model.scale()),
    )


def noised_places(
    candidates: Candidates, objective: Objective, generator: torch.Generator
) -> Float[Tensor, "candidate 2"]:
    """The candidates' places with Gaussian noise in metres on the tangent plane, degrees.

    The places of the queue are blurred more than the batch's own: some of them are near a query,
    and a place known only to a kilometre is a milder negative.

    Source: Vivanco Cepeda, Nayak, Shah (2023), GeoCLIP: 150 m and 1,000 m.
    """
    own, pool = candidates.latlon_deg.tensor_split((candidates.batch_size,))
    return torch.cat(
        [
            jitter_m(own, sigma_m=objective.batch_noise_m, generator=generator),
            jitter_m(pool, sigma_m=objective.queue_noise_m, generator=generator),
        ]
    )


def pair_logits(
    image: Float[Tensor, "query embedding"],
    place: Float[Tensor, "candidate embedding"],
    scale: Float[Tensor, ""],
) -> Float[Tensor, "query candidate"]:
    """Scaled cosines in float32, also under autocast: bf16 logits near 100 are 0.5 apart."""
    with torch.autocast(image.device.type, enabled=False):
        return scale.float() * (image.float() @ place.float().T)


@torch.no_grad()
def _values(
    logits: Float[Tensor, "query candidate"],
    candidates: Candidates,
    flags: PairFlags,
    scale: Float[Tensor, ""],
) -> dict[str, Float[Tensor, ""]]:
    """Scalars that tell whether a step is healthy, without waiting for the device."""
    top1 = candidates.own.gather(1, logits.argmax(dim=1, keepdim=True))
    return {
        "top1_of_candidates": top1.float().mean(),
        "logit_scale": scale.detach().float(),
        "share_negative": flags.negative.float().mean(),
        "share_hard": (flags.negative & (flags.weight > 1)).float().mean(),
        "share_false": (~flags.negative & ~candidates.own).float().mean(),
        "mean_negative_weight": (flags.weight * flags.negative).sum()
        / flags.negative.sum().clamp(min=1),
    }
