"""The features that geocells are made of and tested on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from geoloc.data.feature_cache import FeatureCache
from geoloc.errors import ConfigError, DataError
from geoloc.experiment.build import Say, build_dual_encoder
from geoloc.experiment.cells_schema import CellsConfig
from geoloc.experiment.loading import config_hash, load_config
from geoloc.experiment.prepare_data import ensure_earth_tiles, features_of
from geoloc.experiment.variogram_source import SourceRequest, read_source
from geoloc.inference.devices import usable_device
from geoloc.retrieval import distinct_places


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlacedFeatures:
    """Features at places."""

    latlon_deg: Float64[np.ndarray, "place 2"]
    feature: Float32[Tensor, "place feature"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CellsData:
    """What cells are made of and tested on.

    Attributes:
        train: distinct places with their features.
        component: their principal components, of a mean variance of one.
        explained: share of the features' variance that the components hold.
        tests: splits to test on, by name.
        provenance: of the features.
    """

    train: PlacedFeatures
    component: Float64[np.ndarray, "place component"]
    explained: float
    tests: dict[str, PlacedFeatures] = field(default_factory=dict[str, PlacedFeatures])
    provenance: dict[str, Any] = field(default_factory=dict[str, Any])


def read_cells_data(config: CellsConfig, *, say: Say) -> CellsData:
    """Read or compute the features that the configuration names.

    Raises:
        CheckpointError: a backbone cannot be had.
        ConfigError: the experiment's backbone is trained, so that its features are not fixed.
        DataError: there is nothing to read, it is damaged, or it has too few places or features.
    """
    train, tests, provenance = (
        _of_experiment(config, say) if config.experiment else _of_file(config, say)
    )
    first, _ = distinct_places(train.latlon_deg)
    if len(first) < len(train.latlon_deg):
        say(f"{len(train.latlon_deg):,} rows at {len(first):,} places: the first of each counts")
    kept = torch.from_numpy(first)
    train = PlacedFeatures(latlon_deg=train.latlon_deg[first], feature=train.feature[kept])
    component, explained = principal_components(train.feature, config.components)
    return CellsData(
        train=train,
        component=component,
        explained=explained,
        tests=tests,
        provenance=provenance,
    )


def principal_components(
    feature: Float32[Tensor, "place feature"], count: int
) -> tuple[Float64[np.ndarray, "place component"], float]:
    """The first components, scaled to a mean variance of one, and the share of variance they hold.

    Raises:
        DataError: there are fewer features or places than components, or features are not finite or
            all equal.
    """
    if count > min(feature.shape[1], len(feature) - 1):
        raise DataError(
            f"{count} components of {len(feature)} places with {feature.shape[1]} features: take "
            "fewer (components)"
        )
    if not bool(torch.isfinite(feature).all()):
        row = int((~torch.isfinite(feature).all(dim=1)).nonzero()[0])
        raise DataError(f"the features of place {row + 1} are not finite: leave such places out")
    if bool((feature == feature[0]).all()):
        raise DataError("all features are equal: there is nothing to tell places apart by")
    centred = feature.double() - feature.double().mean(dim=0)
    covariance = centred.T @ centred / len(centred)
    value, vector = torch.linalg.eigh(covariance)
    held = value[-count:].sum()
    component = centred @ vector[:, -count:].flip(1)
    scaled = component / (held / count).sqrt()
    return scaled.numpy(), float(held / value.clamp(min=0).sum())


def _of_experiment(
    config: CellsConfig, say: Say
) -> tuple[PlacedFeatures, dict[str, PlacedFeatures], dict[str, Any]]:
    assert config.experiment is not None
    experiment = load_config(config.experiment)
    if not experiment.model.frozen_backbone:
        raise ConfigError(f"{config.experiment}: its backbone is trained; embed it, name features")
    ensure_earth_tiles(experiment, say=say)
    device = str(usable_device(config.device))
    model = build_dual_encoder(experiment, say=say)

    def read(source: str) -> PlacedFeatures:
        return _rows(features_of(experiment, model, source, device=device, say=say))

    tests = {name: read(source) for name, source in experiment.data.tests.items()}
    provenance = {
        "experiment": experiment.name,
        "experiment_hash": config_hash(experiment),
        "backbone_fingerprint": model.backbone_fingerprint(),
    }
    return read(experiment.data.train), tests, provenance


def _of_file(
    config: CellsConfig, say: Say
) -> tuple[PlacedFeatures, dict[str, PlacedFeatures], dict[str, Any]]:
    if str(config.features).lower().endswith((".csv", ".parquet")):
        kinds = "a folder of geoloc embed, a feature cache or an .npz with latlon_deg and values"
        raise DataError(f"{config.features} is a table: geocells are made of {kinds}")
    placed = read_source(SourceRequest(source=str(config.features)), say=say)
    values = np.asarray(placed.values, dtype=np.float32)
    if values.ndim != 2:
        raise DataError(f"{config.features} holds one number a place: geocells are of vectors")
    rows = PlacedFeatures(latlon_deg=placed.place, feature=torch.from_numpy(values))
    return rows, {}, placed.provenance


def _rows(cache: FeatureCache) -> PlacedFeatures:
    feature = np.asarray(cache.features, dtype=np.float32)
    return PlacedFeatures(latlon_deg=cache.latlon_deg, feature=torch.from_numpy(feature))
