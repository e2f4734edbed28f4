"""One step of training: batch, candidates, evidence, flags, loss. Read this file first.

    batch ── images ── candidates ── evidence ── flags ──┐
               └───────────┴── places ── logits ─────────┴── loss (+ loss of geocells, if asked)

The queries are the images of the batch. The candidates are the places of the batch and those of a
queue of recent batches. What is known of each (query, candidate) pair is its evidence, measured on
clean places and held against the epoch's semivariogram; a rule turns evidence into flags (positive,
negative, weight); the loss reads logits and flags and nothing else. Plain GeoCLIP is the rule
`all_negatives`. With several processes each brings its part of the batch and compares its images
with the places of all (`Ranks`); where the pair matrix is too large it is taken in tiles
(`pair_tiles_loss`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
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
from geoloc.ranks import Ranks
from geoloc.training.cell_task import CellTask
from geoloc.training.pair_tiles import PairTiling, pair_tiles_loss

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


def _plain_tiling() -> PairTiling:
    return PairTiling(loss=contrastive_loss)


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
        tiling: the loss, one way (GeoCLIP's) or both ways, and how many pairs exist at once.
        batch_noise_m: standard deviation per axis, in metres, of the noise on the batch's places.
        queue_noise_m: the same for the places of the queue.
        cells: the task of naming each image's geocell, whose loss is added; None has none.
    """

    source: CandidateSource
    rule: NegativeRule = all_negatives
    expectation: EpochExpectation | None = None
    compared: Compared = frozen_features
    bank: FeatureBank | None = None
    tiling: PairTiling = field(default_factory=_plain_tiling)
    batch_noise_m: float = 150.0
    queue_noise_m: float = 1000.0
    cells: CellTask | None = None


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
        batch: images or features with clean places, on the model's device; with several processes
            the part of this one.
        objective: candidates, rule and loss.
        generator: the noise of the places is drawn from it, alike on all processes; on the batch's
            device.
    """
    if batch.feature is None and batch.image is not None and model.frozen_backbone:
        batch = replace(batch, feature=model.backbone_features(batch.image))
    image = model.embed_batch(batch)
    seen = replace(batch, feature=objective.compared(batch, image))
    candidates = objective.source.candidates(seen)
    place = _embedded_in_parts(
        model, noised_places(candidates, objective, generator), objective.tiling.ranks
    )

    def judge(rows: slice) -> PairFlags:
        expectation = objective.expectation
        evidence = observe(
            batch.latlon_deg[rows],
            candidates.latlon_deg,
            candidates.own(rows),
            query_feature=None if seen.feature is None else seen.feature[rows],
            candidate_feature=candidates.feature,
            expectation=None if expectation is None else expectation.current,
        )
        return objective.rule(evidence)

    tally = PairTally(candidates)
    loss = pair_tiles_loss(
        image,
        place,
        judge,
        scale=model.scale(),
        bias=model.logit_bias,
        tiling=objective.tiling,
        batch_places=candidates.batch_places,
        watch=tally.add,
    )
    values = tally.values(model.scale())
    if objective.cells is not None:
        further, told = objective.cells.loss(model, batch, image)
        loss, values = loss + further, {**values, **told}
    return StepOutcome(loss=loss, seen=seen, values=values)


def noised_places(
    candidates: Candidates, objective: Objective, generator: torch.Generator
) -> Float[Tensor, "candidate 2"]:
    """The candidates' places with Gaussian noise in metres on the tangent plane, degrees.

    The places of the queue are blurred more than the batch's own: some of them are near a query,
    and a place known only to a kilometre is a milder negative.

    Source: Vivanco Cepeda, Nayak, Shah (2023), GeoCLIP: 150 m and 1,000 m.
    """
    own, pool = candidates.latlon_deg.tensor_split((candidates.batch_places,))
    return torch.cat(
        [
            jitter_m(own, sigma_m=objective.batch_noise_m, generator=generator),
            jitter_m(pool, sigma_m=objective.queue_noise_m, generator=generator),
        ]
    )


def _embedded_in_parts(
    model: DualEncoder, latlon_deg: Float[Tensor, "candidate 2"], ranks: Ranks
) -> Float[Tensor, "candidate embedding"]:
    """Embeddings of all candidates, batch and queue in one pass; each process makes its part."""
    count = -(-len(latlon_deg) // ranks.size)
    # The last part is filled up with its last place, so that all are equally long.
    rows = torch.arange(count, device=latlon_deg.device) + ranks.rank * count
    mine = model.embed_places(latlon_deg[rows.clamp(max=len(latlon_deg) - 1)])
    return ranks.gathered_with_gradient(mine)[: len(latlon_deg)]


class PairTally:
    """Scalars that tell whether a step is healthy, added up over tiles without waiting for them.

    Args:
        candidates: whom the queries are compared with.
    """

    def __init__(self, candidates: Candidates) -> None:
        self._candidates = candidates
        self._sums: Float[Tensor, " count"] | None = None

    @torch.no_grad()
    def add(self, rows: slice, logits: Float[Tensor, "query candidate"], flags: PairFlags) -> None:
        """Count one tile."""
        own = self._candidates.own(rows)
        found = own.gather(1, logits.argmax(dim=1, keepdim=True))
        masks = (found, flags.negative, ~(flags.negative | own))
        shown, negative, false = (mask.count_nonzero().float() for mask in masks)
        hard, weight = torch.zeros_like(negative), negative
        if flags.weight is not None:
            hard = (flags.negative & (flags.weight > 1)).count_nonzero().float()
            weight = torch.where(flags.negative, flags.weight, 0.0).sum()
        sums = torch.stack([shown, negative, hard, false, weight])
        if self._sums is None:
            self._sums = sums
        else:
            self._sums += sums

    def values(self, scale: Float[Tensor, ""]) -> dict[str, Float[Tensor, ""]]:
        """The scalars by name."""
        assert self._sums is not None, "a batch has a tile"
        found, negative, hard, false, weight = self._sums
        queries = max(len(self._candidates.own_column), 1)
        pairs = max(queries * len(self._candidates.latlon_deg), 1)
        return {
            "top1_of_candidates": found / queries,
            "logit_scale": scale.detach().float(),
            "share_negative": negative / pairs,
            "share_hard": hard / pairs,
            "share_false": false / pairs,
            "mean_negative_weight": weight / negative.clamp(min=1),
        }
