"""Rules: the verdict on each pair, PairEvidence to PairFlags."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch

from geoloc.pairs import PairEvidence, PairFlags


@runtime_checkable
class NegativeRule(Protocol):
    """A verdict on pairs: a pure function of the evidence alone."""

    def __call__(self, evidence: PairEvidence, /) -> PairFlags:
        """Flags and weights for every pair of the evidence."""
        ...


def all_negatives(evidence: PairEvidence) -> PairFlags:
    """Plain GeoCLIP: a query's own place is its positive, every other candidate a negative.

    Every weight is 1, so the contrastive loss is plain cross-entropy. Another candidate at exactly
    the query's coordinates (a second image of the place in the batch, or the place met again in
    the queue: lag 0, `own` False) stays a negative, as it does in GeoCLIP: this rule is the
    baseline that rules which look at the lag are measured against.

    Source: Vivanco Cepeda, Nayak, Shah (2023), GeoCLIP, section 3.
    """
    return PairFlags(
        positive=evidence.own,
        negative=~evidence.own,
        weight=torch.ones_like(evidence.own, dtype=torch.float32),
    )
