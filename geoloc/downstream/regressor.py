"""The image regressor: a forest on covariates, and a network for what it leaves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64, UInt8

from geoloc.downstream.forest import Forest, ForestSettings, fit_forest, left_out_estimates
from geoloc.downstream.residual_network import NetworkSettings, TrainedNetwork, train_network
from geoloc.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelledRows:
    """Rows to learn from: an image, its covariates at a time, a value and its weight.

    Attributes:
        place: of each row, which is also the number of its image.
        covariate: of each row.
        value: measured, or a pseudo-label.
        weight: 1 for what was measured, less for what was estimated.

    Raises:
        DataError: there is no row, or rows do not fit together or are not finite.
    """

    place: Int64[np.ndarray, " row"]
    covariate: Float64[np.ndarray, "row covariate"]
    value: Float64[np.ndarray, " row"]
    weight: Float64[np.ndarray, " row"]

    def __post_init__(self) -> None:
        lengths = {len(self.place), len(self.covariate), len(self.value), len(self.weight)}
        if len(lengths) > 1 or not len(self.place):
            raise DataError(f"rows to learn from: {sorted(lengths)} places, values and weights")
        if not (np.isfinite(self.value).all() and (self.weight > 0).all()):
            raise DataError("rows to learn from have finite values and weights above 0")

    def joined(self, other: LabelledRows) -> LabelledRows:
        """These rows, and then others."""
        return LabelledRows(
            place=np.concatenate([self.place, other.place]),
            covariate=np.concatenate([self.covariate, other.covariate]),
            value=np.concatenate([self.value, other.value]),
            weight=np.concatenate([self.weight, other.weight]),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageRegressor:
    """A fitted forest with its network. Made by `fit_regressor`."""

    forest: Forest
    network: TrainedNetwork

    def predict(
        self,
        images: UInt8[np.ndarray, "image height width 3"],
        place: Int64[np.ndarray, " row"],
        covariate: Float64[np.ndarray, "row covariate"],
    ) -> tuple[Float64[np.ndarray, " row"], Float64[np.ndarray, " row"]]:
        """Estimates of the forest alone, and of both together."""
        alone = self.forest.predict(covariate)
        return alone, alone + self.network.predict(images, place, covariate)


def fit_regressor(
    images: UInt8[np.ndarray, "image height width 3"],
    rows: LabelledRows,
    *,
    forest: ForestSettings,
    network: NetworkSettings,
    seed: int,
) -> ImageRegressor:
    """Fit a forest to covariates, then a network on images and covariates to its errors.

    The network learns the errors of forests that have not seen a row's place.

    Args:
        images: of all places.
        rows: what to learn from.
        forest: its settings.
        network: its settings.
        seed: of all that is drawn.

    Raises:
        ConfigError: scikit-learn is not installed.

    Source: the joint model of Duan, Jiang and Carlson 2023; taking the errors at places left out
    is ours.
    """
    left_out = left_out_estimates(
        rows.covariate,
        rows.value,
        weight=rows.weight,
        place=rows.place,
        settings=forest,
        seed=seed,
    )
    return ImageRegressor(
        forest=fit_forest(
            rows.covariate, rows.value, weight=rows.weight, settings=forest, seed=seed
        ),
        network=train_network(
            images,
            rows.place,
            rows.covariate,
            rows.value - left_out,
            weight=rows.weight,
            settings=network,
            seed=seed,
        ),
    )
