"""A forest on covariates seen through an embedding of totally random trees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from geoloc.errors import ConfigError

_FOLDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ForestSettings:
    """Sizes of the forest.

    Attributes:
        embedding_trees: totally random trees; each gives a row the leaf that it falls into.
        embedding_depth: of these trees.
        trees: of the forest that regresses on the leaves.
        min_leaf: rows that a leaf of the forest holds at least.
        max_features: share of the columns tried at a split.
    """

    embedding_trees: int = 40
    embedding_depth: int = 5
    trees: int = 60
    min_leaf: int = 3
    max_features: float = 0.05


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Forest:
    """A fitted forest. Made by `fit_forest`."""

    embedding: Any
    regressor: Any

    def predict(
        self, covariate: Float64[np.ndarray, "row covariate"]
    ) -> Float64[np.ndarray, " row"]:
        """Estimates for rows of covariates."""
        leaves = self.embedding.transform(covariate)
        return np.asarray(self.regressor.predict(leaves), dtype=np.float64)


def fit_forest(
    covariate: Float64[np.ndarray, "row covariate"],
    value: Float64[np.ndarray, " row"],
    *,
    weight: Float64[np.ndarray, " row"],
    settings: ForestSettings,
    seed: int,
) -> Forest:
    """Grow the embedding without looking at values, and on its leaves a forest of regression trees.

    Args:
        covariate: of each row.
        value: of each row.
        weight: how much each row counts.
        settings: sizes.
        seed: of all that is drawn.

    Raises:
        ConfigError: scikit-learn is not installed.

    Source: totally random trees: P. Geurts, D. Ernst, L. Wehenkel, "Extremely randomized trees",
    Machine Learning 63, 2006; forests: L. Breiman, Machine Learning 45, 2001; by scikit-learn.
    """
    try:
        from sklearn.ensemble import RandomForestRegressor, RandomTreesEmbedding
    except ModuleNotFoundError:
        raise ConfigError(
            "forests need scikit-learn: install it with `pip install 'geoloc[systems]'`"
        ) from None
    embedding: Any = RandomTreesEmbedding(
        n_estimators=settings.embedding_trees,
        max_depth=settings.embedding_depth,
        random_state=seed,
    )
    leaves = embedding.fit_transform(covariate, sample_weight=weight)
    regressor: Any = RandomForestRegressor(
        n_estimators=settings.trees,
        min_samples_leaf=settings.min_leaf,
        max_features=settings.max_features,
        random_state=seed,
    )
    regressor.fit(leaves, value, sample_weight=weight)
    return Forest(embedding=embedding, regressor=regressor)


def left_out_estimates(
    covariate: Float64[np.ndarray, "row covariate"],
    value: Float64[np.ndarray, " row"],
    *,
    weight: Float64[np.ndarray, " row"],
    place: Int64[np.ndarray, " row"],
    settings: ForestSettings,
    seed: int,
) -> Float64[np.ndarray, " row"]:
    """What a forest that has not seen a row's place says of it, place by place in five parts.

    The errors that are left are those at new places; a forest's errors on its own rows are far
    smaller, and a network taught with those would learn too little.

    Args:
        covariate: of each row.
        value: of each row.
        weight: how much each row counts.
        place: of each row.
        settings: sizes.
        seed: of the parts and forests.
    """
    known, member = np.unique(place, return_inverse=True)
    fold = np.random.default_rng(seed).permutation(len(known))[member] % _FOLDS
    estimate = np.empty(len(value))
    for part in np.unique(fold):
        inside, outside = fold == part, fold != part
        if not outside.any():
            outside = inside
        forest = fit_forest(
            covariate[outside], value[outside], weight=weight[outside], settings=settings, seed=seed
        )
        estimate[inside] = forest.predict(covariate[inside])
    return estimate
