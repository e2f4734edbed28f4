"""Rules: the verdict on each pair, PairEvidence to PairFlags.

A false negative is a candidate that is near the query and looks like it: as good as right. A hard
negative is far away and more alike than places so far apart ever are: what the model must learn
most from. Both are told by the semivariogram: by u, the share of pairs at the same lag that are
less dissimilar (`score`), or by the residual (observed - expected) / spread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol, TypeAlias, get_args, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from geoloc.errors import ConfigError
from geoloc.pairs import PairEvidence, PairFlags

RuleName: TypeAlias = Literal[
    "all", "distance", "thesis_p5", "semivariogram", "correlogram", "hard_only", "false_only"
]


@runtime_checkable
class NegativeRule(Protocol):
    """A verdict on pairs: a pure function of the evidence alone."""

    def __call__(self, evidence: PairEvidence, /) -> PairFlags:
        """Flags and weights for every pair of the evidence."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSettings:
    """What rules take as near, far, alike and hard. Each rule reads only what it needs.

    Attributes:
        measure: ``quantile`` judges by u, ``residual`` by (observed - expected) / spread.
        alike_level: only pairs less dissimilar than this share of the sill are flagged false or
            hard: of any pairs a tenth has u below 0.1, but few of them look alike.
        near_km: pairs up to this lag may be false negatives.
        near_ranges: nor are pairs beyond so many effective ranges ever false negatives.
        false_quantile: near pairs with u below this are false negatives.
        false_residual: likewise, near pairs whose residual is below this.
        positive_share: most of a query's target that its false negatives may take as fractional
            positives, each in proportion to (1 - expected / sill)(1 - u); 0 ignores them instead.
        far_ranges: pairs beyond so many effective ranges may be hard negatives.
        far_km: and pairs beyond this in any case: a curve that still rises at the far end has a
            range so long that nothing would ever be far.
        hard_quantile: far pairs with u below this are hard negatives.
        hard_residual: likewise, far pairs whose residual is below this.
        hard_log_weight: logarithm of the weight of the hardest negatives; the logarithm grows
            evenly from 0 at `hard_quantile` to this at u = 0 (by residual it is this throughout).
    """

    measure: Literal["quantile", "residual"] = "quantile"
    alike_level: float = 0.5
    near_km: float = 200.0
    near_ranges: float = 0.5
    false_quantile: float = 0.9
    false_residual: float = 0.0
    positive_share: float = 0.3
    far_ranges: float = 1.0
    far_km: float = 4000.0
    hard_quantile: float = 0.1
    hard_residual: float = -1.0
    hard_log_weight: float = 2.0

    def __post_init__(self) -> None:
        for name in ("false_quantile", "hard_quantile", "positive_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"negatives: {name} lies in [0, 1], not at {getattr(self, name)}")
        if self.positive_share == 1.0:
            raise ConfigError("negatives: positive_share 1 leaves nothing to a query's own place")
        for name in (
            "near_km",
            "near_ranges",
            "far_ranges",
            "far_km",
            "alike_level",
            "hard_log_weight",
        ):
            if not getattr(self, name) >= 0.0:
                raise ConfigError(f"negatives: {name} is {getattr(self, name)}, below 0")


def build_rule(name: RuleName | str, settings: RuleSettings) -> NegativeRule:
    """The rule of that name with these settings.

    Raises:
        ConfigError: there is none of that name.
    """
    rules: dict[str, Callable[..., PairFlags]] = {
        "distance": nobody_near,
        "thesis_p5": thesis_p5,
        "semivariogram": semivariogram,
        "correlogram": correlogram,
        "hard_only": hard_only,
        "false_only": false_only,
    }
    if name == "all":
        return all_negatives
    if name not in rules:
        raise ConfigError(f"no rule {name!r}: one of {', '.join(get_args(RuleName))}")
    return partial(rules[name], settings=settings)


def all_negatives(evidence: PairEvidence) -> PairFlags:
    """Plain GeoCLIP: a query's own place is its positive, every other candidate a negative.

    Every weight is 1, so the contrastive loss is plain cross-entropy. Another candidate at exactly
    the query's coordinates (a second image of the place in the batch, or the place met again in
    the queue: lag 0, `own` False) stays a negative, as it does in GeoCLIP: this rule is the
    baseline that rules which look at the lag are measured against.

    Source: Vivanco Cepeda, Nayak, Shah (2023), GeoCLIP, section 3.
    """
    return PairFlags(positive=evidence.own, negative=~evidence.own)


def nobody_near(evidence: PairEvidence, settings: RuleSettings) -> PairFlags:
    """Whatever lies within `near_km` of the query is ignored, whatever it looks like."""
    negative = ~evidence.own & (evidence.lag_km > settings.near_km)
    return _flags(evidence, negative=negative)


def thesis_p5(evidence: PairEvidence, settings: RuleSettings) -> PairFlags:
    """Near pairs count more the *less* alike they are: weight exp(max(0, observed - expected)).

    That holds within the effective range; beyond it every weight is 1. The thesis multiplies the
    logit by this factor, which makes a negative cosine easier; here it weighs the pair's term.

    Source: penalty P5 of the public thesis code that preceded Chen, Wang,
    Deuser, Zollner and Werner (2025), arXiv 2509.21573.
    """
    del settings
    known = _known(evidence)
    if known is None:
        return all_negatives(evidence)
    surprise = (known.observed - known.expected).clamp(min=0.0).nan_to_num()
    within = evidence.lag_km <= known.effective_range_km
    return _flags(evidence, negative=~evidence.own, weight=torch.where(within, surprise, 0.0).exp())


def semivariogram(evidence: PairEvidence, settings: RuleSettings) -> PairFlags:
    """False negatives are taken out (or made fractional positives), hard negatives count more."""
    known = _known(evidence)
    if known is None:
        return all_negatives(evidence)
    is_false = _is_false(evidence, known, settings)
    weight = _hard_log_weight(evidence, known, settings).exp()
    if settings.positive_share == 0.0:
        return _flags(evidence, negative=~evidence.own & ~is_false, weight=weight)
    return _with_fractions(evidence, known, is_false, most=settings.positive_share, weight=weight)


def hard_only(evidence: PairEvidence, settings: RuleSettings) -> PairFlags:
    """Hard negatives count more, near pairs stay as they are."""
    known = _known(evidence)
    if known is None:
        return all_negatives(evidence)
    weight = _hard_log_weight(evidence, known, settings).exp()
    return _flags(evidence, negative=~evidence.own, weight=weight)


def false_only(evidence: PairEvidence, settings: RuleSettings) -> PairFlags:
    """False negatives are taken out (or made fractional positives), all others weigh the same."""
    known = _known(evidence)
    if known is None:
        return all_negatives(evidence)
    is_false = _is_false(evidence, known, settings)
    if settings.positive_share == 0.0:
        return _flags(evidence, negative=~evidence.own & ~is_false)
    weight = torch.ones_like(known.expected)
    return _with_fractions(evidence, known, is_false, most=settings.positive_share, weight=weight)


def correlogram(evidence: PairEvidence, settings: RuleSettings) -> PairFlags:
    """A near, similar pair stays a negative with weight expected / sill: less, the nearer it is."""
    known = _known(evidence)
    if known is None:
        return all_negatives(evidence)
    is_false = _is_false(evidence, known, settings)
    share = (known.expected / known.sill).clamp(0.0, 1.0)
    return _flags(evidence, negative=~evidence.own, weight=torch.where(is_false, share, 1.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """The parts of the evidence that only a fitted semivariogram and two features give."""

    observed: Float[Tensor, "query candidate"]
    expected: Float[Tensor, "query candidate"]
    score: Float[Tensor, "query candidate"]
    spread: Float[Tensor, "query candidate"]
    sill: float
    effective_range_km: float

    @property
    def residual(self) -> Float[Tensor, "query candidate"]:
        return (self.observed - self.expected) / self.spread.clamp(min=1e-12)


def _known(evidence: PairEvidence) -> _Known | None:
    """None before the first fit and without features: then nothing can be said of a pair."""
    observed, expected, score = evidence.observed, evidence.expected, evidence.score
    spread, sill, reach = evidence.spread, evidence.sill, evidence.effective_range_km
    if observed is None or expected is None or score is None or spread is None:
        return None
    if sill is None or reach is None:
        return None
    return _Known(
        observed=observed,
        expected=expected,
        score=score,
        spread=spread,
        sill=sill,
        effective_range_km=reach,
    )


def _is_false(
    evidence: PairEvidence, known: _Known, settings: RuleSettings
) -> Bool[Tensor, "query candidate"]:
    """Near and alike. NaN compares as False, so a pair of unknown look is never flagged."""
    reach = min(settings.near_km, settings.near_ranges * known.effective_range_km)
    if settings.measure == "quantile":
        alike = known.score < settings.false_quantile
    else:
        alike = known.residual < settings.false_residual
    alike = alike & (known.observed < settings.alike_level * known.sill)
    return ~evidence.own & (evidence.lag_km <= reach) & alike


def _hard_log_weight(
    evidence: PairEvidence, known: _Known, settings: RuleSettings
) -> Float[Tensor, "query candidate"]:
    reach = min(settings.far_km, settings.far_ranges * known.effective_range_km)
    far = ~evidence.own & (evidence.lag_km > reach)
    far = far & (known.observed < settings.alike_level * known.sill)
    if settings.measure == "quantile":
        least = max(settings.hard_quantile, 1e-12)
        hardness = ((settings.hard_quantile - known.score) / least).clamp(min=0.0).nan_to_num()
    else:
        hardness = (known.residual < settings.hard_residual).to(known.expected.dtype)
    return torch.where(far, settings.hard_log_weight * hardness, 0.0)


def _with_fractions(
    evidence: PairEvidence,
    known: _Known,
    is_false: Bool[Tensor, "query candidate"],
    *,
    most: float,
    weight: Float[Tensor, "query candidate"],
) -> PairFlags:
    """False negatives become positives; together they never outweigh most / (1 - most) to one."""
    level = (1.0 - known.expected / known.sill).clamp(0.0, 1.0) * (1.0 - known.score)
    share = torch.where(is_false, level, 0.0)
    scale = (most / (1.0 - most)) / share.sum(dim=1, keepdim=True).clamp(min=1e-12)
    share = share * scale.clamp(max=1.0)
    taken = share > 0
    return PairFlags(
        positive=evidence.own | taken,
        negative=~evidence.own & ~is_false,
        weight=torch.where(evidence.own, 1.0, torch.where(taken, share, weight)).float(),
    )


def _flags(
    evidence: PairEvidence,
    *,
    negative: Bool[Tensor, "query candidate"],
    weight: Float[Tensor, "query candidate"] | None = None,
) -> PairFlags:
    """The query's own place is the only positive; weights other than 1 stand on negatives only."""
    kept = None if weight is None else torch.where(negative, weight.float(), 1.0)
    return PairFlags(positive=evidence.own, negative=negative, weight=kept)
