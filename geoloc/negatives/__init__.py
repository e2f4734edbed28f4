"""Negatives: whom a query is compared with, what is seen of each pair, and the verdict on it."""

from __future__ import annotations

from geoloc.negatives.candidates import BatchAndQueue, Candidates, CandidateSource
from geoloc.negatives.evidence import Expectation, observe
from geoloc.negatives.pool import PlaceQueue
from geoloc.negatives.rules import NegativeRule, all_negatives

__all__ = [
    "BatchAndQueue",
    "CandidateSource",
    "Candidates",
    "Expectation",
    "NegativeRule",
    "PlaceQueue",
    "all_negatives",
    "observe",
]
