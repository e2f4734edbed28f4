"""Negatives: whom a query is compared with, what is seen of each pair, and the verdict on it."""

from __future__ import annotations

from geoloc.negatives.bank import FeatureBank
from geoloc.negatives.candidates import BatchAndQueue, Candidates, CandidateSource
from geoloc.negatives.composition import compose_batches
from geoloc.negatives.evidence import Expectation, Judgement, observe
from geoloc.negatives.expectation import EpochExpectation, ExpectedSemivariance
from geoloc.negatives.mining import MiningSettings, mine_hard_negatives
from geoloc.negatives.pool import PlaceQueue
from geoloc.negatives.refit import RefitSettings, fit_expectation
from geoloc.negatives.reservoir import ReservoirSampler
from geoloc.negatives.rules import (
    NegativeRule,
    RuleName,
    RuleSettings,
    all_negatives,
    build_rule,
)
from geoloc.negatives.sampler import SemivariogramSampler
from geoloc.negatives.store import Embed, RefitReport, SampleStore

__all__ = [
    "BatchAndQueue",
    "CandidateSource",
    "Candidates",
    "Embed",
    "EpochExpectation",
    "Expectation",
    "ExpectedSemivariance",
    "FeatureBank",
    "Judgement",
    "MiningSettings",
    "NegativeRule",
    "PlaceQueue",
    "RefitReport",
    "RefitSettings",
    "ReservoirSampler",
    "RuleName",
    "RuleSettings",
    "SampleStore",
    "SemivariogramSampler",
    "all_negatives",
    "build_rule",
    "compose_batches",
    "fit_expectation",
    "mine_hard_negatives",
    "observe",
]
