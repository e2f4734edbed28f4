"""Empirical orthogonal functions: the few patterns that most of a space-time field is made of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float64
from torch import Tensor

from geoloc.errors import ConfigError, DataError
from geoloc.models.initialization import seeded

_OVERSAMPLED = 10
_POWER_ITERATIONS = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class EofBasis:
    """Samples written as their mean plus scores times patterns, the strongest first.

    With a row a time and a column a place the patterns are EOFs (maps) and the scores principal
    components (series). With a row a place and a column a time they are the temporal bases of a
    field and its spatial coefficients: the same decomposition of the other matrix.

    Attributes:
        mean: of each column over the samples; nan in columns without values.
        weight: that columns were multiplied by.
        pattern: of unit length and orthogonal where columns have values, nan elsewhere; weighted.
            The greatest number of each is positive.
        score: of each sample on each pattern.
        variance: of the scores over the samples (divisor n - 1), falling: the eigenvalues.
        total_variance: of all columns together, weighted.
    """

    mean: Float64[Tensor, " column"]
    weight: Float64[Tensor, " column"]
    pattern: Float64[Tensor, "component column"]
    score: Float64[Tensor, "sample component"]
    variance: Float64[Tensor, " component"]
    total_variance: float

    def __len__(self) -> int:
        return len(self.variance)

    @cached_property
    def share(self) -> Float64[Tensor, " component"]:
        """The part of the total variance that each component has."""
        return self.variance / self.total_variance

    @cached_property
    def variance_error(self) -> Float64[Tensor, " component"]:
        """The sampling error of each variance: variance times sqrt(2 / samples).

        Neighbours nearer than that are not told apart by the samples.

        Source: G. R. North et al., Monthly Weather Review 110, 1982, eq. 24.
        """
        return self.variance * (2.0 / len(self.score)) ** 0.5

    def components_for(self, share: float) -> int:
        """The fewest leading components that have this part of the total variance.

        Args:
            share: above 0, at most 1.

        Raises:
            ConfigError: the share is none.
            DataError: all components together have less.
        """
        if not 0.0 < share <= 1.0:
            raise ConfigError(f"a share of the variance lies above 0 and is 1 at most, not {share}")
        reached = self.share.cumsum(dim=0) >= share - 1e-12
        if not bool(reached.any()):
            raise DataError(f"{len(self)} components have less than {share:g} of the variance")
        return int(reached.to(torch.int8).argmax()) + 1

    def components_above_noise(self) -> int:
        """Leading components that stand out of white noise; one at least.

        A singular value counts that exceeds what is best cut off where noise of unknown strength
        lies on a few patterns: a multiple of the median of all singular values.

        Raises:
            ConfigError: the basis is not of all components, so that it has not that median.

        Source: M. Gavish and D. L. Donoho, IEEE Transactions on Information Theory 60, 2014, eqs. 4
        and 5.
        """
        sides = (len(self.score), int((~torch.isnan(self.pattern[0])).sum()))
        if len(self) < min(sides):
            raise ConfigError("what is above noise is told from all components, not the leading")
        ratio = min(sides) / max(sides)
        factor = 0.56 * ratio**3 - 0.95 * ratio**2 + 1.82 * ratio + 1.43
        single = self.variance.sqrt()
        return max(1, int((single > factor * single.median()).sum()))

    def leading(self, count: int) -> EofBasis:
        """The basis of the first `count` components alone.

        Raises:
            ConfigError: there are not so many.
        """
        if not 1 <= count <= len(self):
            raise ConfigError(f"{count} components of {len(self)}: one at least, no more than all")
        return replace(
            self,
            pattern=self.pattern[:count],
            score=self.score[:, :count],
            variance=self.variance[:count],
        )

    def recompose(
        self, score: Float64[Tensor, "sample component"]
    ) -> Float64[Tensor, "sample column"]:
        """What samples of these scores are: the mean plus scores times patterns, unweighted."""
        return score @ self.pattern / self.weight + self.mean

    def project(
        self, values: Float64[Tensor, "sample column"]
    ) -> Float64[Tensor, "sample component"]:
        """The scores of samples, new ones too.

        Raises:
            DataError: a sample lacks the value of a column that the patterns have.
        """
        anomaly = (values - self.mean) * self.weight
        known = ~torch.isnan(self.pattern[0])
        if bool(torch.isnan(anomaly[:, known]).any()):
            raise DataError("a sample with missing values has no scores: fill them (fill_gaps)")
        return anomaly[:, known] @ self.pattern[:, known].T


def eof_basis(
    values: Float64[Tensor, "sample column"],
    *,
    weight: Float64[Tensor, " column"] | None = None,
    components: int | None = None,
    seed: int = 0,
) -> EofBasis:
    """The empirical orthogonal functions of samples.

    Columns are centred on their means over the samples, weighted, and decomposed into singular
    values. Columns that are nan in every sample are left out.

    Args:
        values: two samples at least; nan is missing.
        weight: of columns; on a grid in degrees the square root of the cosine of the latitude makes
            each cell count by its area. None weights all alike.
        components: None finds all, exactly; so many are found by a randomised search, which is
            what a large matrix asks for.
        seed: of that search.

    Raises:
        ConfigError: more components are asked for than there are, or weights are not positive.
        DataError: there are fewer than two samples, a column lacks some values and has others, or
            no value varies.

    Source: E. N. Lorenz, MIT Statistical Forecasting Project Report 1, 1956; the temporal form:
    F. Amato et al., Scientific Reports 10, 22243, 2020; the randomised search: N. Halko, P.-G.
    Martinsson and J. A. Tropp, SIAM Review 53, 2011, by torch.
    """
    if len(values) < 2:
        raise DataError(f"{len(values)} samples vary in nothing: two at least are decomposed")
    weight = torch.ones_like(values[0]) if weight is None else weight.to(values)
    if not bool((weight[torch.isfinite(weight)] > 0).all()):
        raise ConfigError("weights of an EOF basis must be above zero")
    missing = torch.isnan(values * weight)
    known = ~missing.all(dim=0)
    if bool(missing[:, known].any()):
        column = int(torch.nonzero(missing.any(dim=0) & known)[0])
        raise DataError(f"column {column} has values and gaps: fill the gaps first (fill_gaps)")
    mean = values.mean(dim=0)
    anomaly = ((values - mean) * weight)[:, known]
    total = float(anomaly.square().sum()) / (len(values) - 1)
    if not total > 0:
        raise DataError("no value varies from sample to sample: there is no EOF")
    left, single, right = decomposed(anomaly, components, seed)
    pattern = values.new_full((len(single), values.shape[1]), torch.nan)
    pattern[:, known] = right
    return EofBasis(
        mean=mean,
        weight=weight,
        pattern=pattern,
        score=left * single,
        variance=single.square() / (len(values) - 1),
        total_variance=total,
    )


def decomposed(
    anomaly: Float64[Tensor, "sample column"], components: int | None, seed: int
) -> tuple[
    Float64[Tensor, "sample component"],
    Float64[Tensor, " component"],
    Float64[Tensor, "component column"],
]:
    """Left vectors, singular values and right vectors by rows, with their signs settled.

    Arguments and errors are those of `eof_basis`.
    """
    if components is None:
        left, single, right = torch.linalg.svd(anomaly, full_matrices=False)
    else:
        most = min(anomaly.shape)
        if not 1 <= components <= most:
            raise ConfigError(f"{components} components of {most}: one at least, no more than all")
        with seeded(seed):
            left, single, right = torch.svd_lowrank(
                anomaly, q=min(most, components + _OVERSAMPLED), niter=_POWER_ITERATIONS
            )
        left, single, right = left[:, :components], single[:components], right[:, :components].T
    greatest = right.gather(1, right.abs().argmax(dim=1, keepdim=True))
    sign = torch.where(greatest < 0, -1.0, 1.0).to(right)
    return left * sign[:, 0], single, right * sign
