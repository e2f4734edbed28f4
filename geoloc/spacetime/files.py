"""A fitted space-time model as a folder of files, which reads back to the bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from geoloc.artifacts import check_sha256, read_json, sha256_of, write_atomically, write_json
from geoloc.errors import CheckpointError, DataError
from geoloc.geostatistics import LagBins, VariogramFit, load_variogram, save_variogram
from geoloc.models.weight_files import load_strict, read_tensors
from geoloc.spacetime.coefficient_network import CoefficientNetwork, NetworkShape
from geoloc.spacetime.ensemble import Ensemble
from geoloc.spacetime.eof import EofBasis
from geoloc.spacetime.fitting import FitDiary, FitSettings
from geoloc.spacetime.model import ModelSettings, SpaceTimeModel
from geoloc.spacetime.stations import Sites, Stations

MODEL, TENSORS = "model.json", "tensors.safetensors"
VARIOGRAM, STRUCTURE = "variogram.json", "structure.json"
SCHEMA_VERSION = 1
_KIND, _WHAT = "space_time_model", "space-time model"
_BASIS = ("mean", "weight", "pattern", "score", "variance")


def save_space_time(model: SpaceTimeModel, folder: Path) -> Path:
    """Write a model: `MODEL`, `TENSORS`, `VARIOGRAM` and `STRUCTURE`; returns the folder.

    Args:
        model: to keep; its stations and their series are kept too, which kriging needs.
        folder: made when absent; a model that lies there is replaced.

    Raises:
        OSError: the folder cannot be written.
    """
    # without it what is left of an older model is refused, should this end half way
    (folder / MODEL).unlink(missing_ok=True)
    tensors = {name: each.contiguous() for name, each in _tensors(model).items()}
    write_atomically(folder / TENSORS, lambda path: save_file(tensors, path))
    save_variogram(model.variogram, folder / VARIOGRAM)
    model.structure.save(folder / STRUCTURE)
    settings = model.settings
    content = {
        "kind": _KIND,
        "schema_version": SCHEMA_VERSION,
        "metric": model.stations.sites.metric,
        "settings": {**asdict(settings), "bins": asdict(settings.bins)},
        "total_variance": model.basis.total_variance,
        "inflation": model.inflation,
        "diaries": [asdict(each) for each in model.ensemble.diaries],
        "sha256": {name: sha256_of(folder / name) for name in (TENSORS, VARIOGRAM, STRUCTURE)},
    }
    write_json(folder / MODEL, content)
    return folder


def load_space_time(folder: Path) -> SpaceTimeModel:
    """Read what `save_space_time` wrote; it predicts the same numbers, to the bit.

    Raises:
        DataError: a file is missing, damaged or of another version.
    """
    content = read_json(folder / MODEL, what=_WHAT)
    if content.get("kind") != _KIND or content.get("schema_version") != SCHEMA_VERSION:
        raise DataError(f"{folder / MODEL} is no {_WHAT} of version {SCHEMA_VERSION}: fit again")
    try:
        for name in (TENSORS, VARIOGRAM, STRUCTURE):
            check_sha256(folder / name, content["sha256"][name], what=_WHAT)
        return _model(content, read_tensors(folder / TENSORS), folder)
    except (CheckpointError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"the {_WHAT} at {folder} is damaged ({error}): fit again") from None


def _tensors(model: SpaceTimeModel) -> dict[str, Tensor]:
    sites, ensemble = model.stations.sites, model.ensemble
    found = {
        "places": sites.places,
        "covariates": sites.covariates,
        "values": model.stations.values,
        "part": ensemble.part,
        "held_out": ensemble.held_out,
        **{f"basis.{name}": getattr(model.basis, name) for name in _BASIS},
    }
    for number, member in enumerate(ensemble.members):
        state = member.state_dict().items()
        found |= {f"member.{number}.{name}": each for name, each in state}
    return found


def _model(content: Mapping[str, Any], tensors: dict[str, Tensor], folder: Path) -> SpaceTimeModel:
    sites = Sites(
        places=tensors["places"], covariates=tensors["covariates"], metric=content["metric"]
    )
    settings = _settings(content["settings"])
    basis = EofBasis(
        **{name: tensors[f"basis.{name}"] for name in _BASIS},
        total_variance=content["total_variance"],
    )
    members: list[CoefficientNetwork] = []
    for number in range(settings.members):
        # every member has bases of the same size; its own come with its state
        member = CoefficientNetwork(sites, basis, settings.shape, seed=settings.seed)
        prefix = f"member.{number}."
        state = {
            name.removeprefix(prefix): each
            for name, each in tensors.items()
            if name.startswith(prefix)
        }
        load_strict(member, state, source=str(folder / TENSORS))
        members.append(member.eval())
    diaries = [
        FitDiary(
            validation=tuple(each["validation"]),
            best_epoch=each["best_epoch"],
            steps=each["steps"],
        )
        for each in content["diaries"]
    ]
    return SpaceTimeModel(
        stations=Stations(sites=sites, values=tensors["values"]),
        basis=basis,
        ensemble=Ensemble(
            members=tuple(members),
            diaries=tuple(diaries),
            part=tensors["part"].to(torch.int64),
            held_out=tensors["held_out"],
        ),
        settings=settings,
        variogram=load_variogram(folder / VARIOGRAM),
        structure=VariogramFit.load(folder / STRUCTURE),
        inflation=content["inflation"],
    )


def _settings(content: Mapping[str, Any]) -> ModelSettings:
    shape = dict(content["shape"])
    for name in ("hidden", "sigmas"):
        shape[name] = tuple(shape[name])
    bins = content["bins"]
    rest = {name: content[name] for name in ("members", "residuals", "neighbours", "seed")}
    return ModelSettings(
        shape=NetworkShape(**shape),
        fit=FitSettings(**content["fit"]),
        bins=LagBins(edges=tuple(bins["edges"]), unit=bins["unit"]),
        **rest,
    )
