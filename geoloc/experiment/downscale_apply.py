"""What a downscaling leaves: its downscalers, and how they are applied to other fields."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from geoloc.artifacts import read_json, write_arrays, write_json
from geoloc.data.gridded_field import GriddedField
from geoloc.data.packaged_fields import read_field
from geoloc.downscaling import (
    DiffusionDownscaler,
    RegressionDownscaler,
    coarsen,
    load_downscaler,
    save_downscaler,
)
from geoloc.errors import ConfigError, DataError
from geoloc.experiment.downscaling_fields import DownscalingFields
from geoloc.inference.devices import usable_device
from geoloc.training.seeding import step_generator

FIELD, MEAN = "field.json", "mean.npz"
SCHEMA_VERSION = 1
_AXES = ("latitude_deg", "longitude_deg")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyRequest:
    """What is to be downscaled, and how.

    Attributes:
        model: folder of a downscaler, as `keep_downscaler` wrote it.
        coarse: the fields: what `geoloc.data.packaged_fields.read_field` takes.
        out: .npz to write.
        members: draws of a diffusion.
        seed: of the draws.
        device: ``auto``, ``cpu`` or ``cuda``.
    """

    model: Path
    coarse: str
    out: Path
    members: int = 1
    seed: int = 0
    device: str = "auto"


def keep_downscaler(
    downscaler: DiffusionDownscaler | RegressionDownscaler,
    fields: DownscalingFields,
    folder: Path,
    provenance: Mapping[str, Any],
) -> None:
    """Write a downscaler, and what is to be known of the fields it learnt from.

    Raises:
        OSError: the folder cannot be written.
    """
    # what is told of an older one would be told of this, should it end half way
    (folder / FIELD).unlink(missing_ok=True)
    save_downscaler(downscaler, folder)
    (folder / MEAN).unlink(missing_ok=True)
    if fields.mean is not None:
        axes = {name: getattr(fields.axes[0], name) for name in _AXES}
        write_arrays(folder / MEAN, {"mean": fields.mean.cpu().numpy(), **axes})
    content = {
        "schema_version": SCHEMA_VERSION,
        "name": fields.name,
        "unit": fields.unit,
        "south_first": fields.south_first,
        "anomalies": fields.mean is not None,
        "provenance": provenance,
    }
    write_json(folder / FIELD, content)


def apply_downscaler(request: ApplyRequest, say: Callable[[str], object]) -> Path:
    """Downscale a coarse field with a downscaler that was kept.

    The file has ``values`` (of a diffusion the first draw), ``latitude_deg``, ``longitude_deg``,
    ``time_day``, ``name`` and ``unit`` as `read_field` reads them, and of several draws ``members``
    (member, time, row, column).

    Raises:
        ConfigError: a device or a package is missing, the name is no .npz, or members are asked of
            plain regression.
        DataError: a file is missing or damaged, the field has gaps or is too small for a tile, or
            its anomalies are those of another grid.
    """
    _check_name(request.out)
    device = usable_device(request.device)
    model = load_downscaler(request.model, device)
    about = _learnt_from(request.model / FIELD)
    if request.members < 1:
        raise ConfigError(f"{request.members} members: one at least is drawn")
    if request.members > 1 and isinstance(model, RegressionDownscaler):
        raise ConfigError("plain regression has one estimate: members=1")
    field, factor = read_field(request.coarse), model.settings.factor
    _check_field(field, about)
    south_first = bool(field.latitude_deg[0] < field.latitude_deg[-1])
    # networks know which way is north: rows run as they did when these learnt
    turned = [-2] if south_first != about["south_first"] else []
    seen = torch.from_numpy(field.values).flip(turned)
    mean = torch.zeros(())
    if about["anomalies"]:
        mean = _mean_on(field, request.model, factor, turned=bool(turned))
        seen = seen - coarsen(mean, factor)
    steps, rows, columns = seen.shape
    say(f"{steps} steps of {rows} by {columns} cells, {factor} times as fine")
    found = _estimated(model, seen[None].to(device), request).cpu()
    found = (found + mean).flip(turned)
    content = {
        "values": found[0].numpy(),
        "latitude_deg": finer(field.latitude_deg, factor),
        "longitude_deg": finer(field.longitude_deg, factor),
        "time_day": field.time_day,
        "name": np.array(f"{field.name}, downscaled"),
        "unit": np.array(field.unit),
    }
    if request.members > 1:
        content["members"] = found.numpy()
    write_arrays(request.out, content)
    return request.out


def _learnt_from(path: Path) -> dict[str, Any]:
    """What is known of the fields that a downscaler learnt from."""
    about = read_json(path, what="downscaler")
    if about.get("schema_version") != SCHEMA_VERSION:
        raise DataError(f"{path} is of another version: learn again")
    if missing := [name for name in ("unit", "south_first", "anomalies") if name not in about]:
        raise DataError(f"{path} is damaged ({', '.join(missing)} missing): learn again")
    return about


def _check_name(path: Path) -> None:
    if path.suffix != ".npz":
        raise ConfigError(f"{path}: fields are written as .npz")


def finer(axis: Float64[np.ndarray, " coarse"], factor: int) -> Float64[np.ndarray, " fine"]:
    """The middles of the fine cells that an axis of coarse ones is made of."""
    step = float(axis[-1] - axis[0]) / (len(axis) - 1) if len(axis) > 1 else 1.0
    offset = (np.arange(factor) + 0.5) / factor - 0.5
    return (axis[:, None] + step * offset).ravel()


def _estimated(
    model: DiffusionDownscaler | RegressionDownscaler, seen: Tensor, request: ApplyRequest
) -> Tensor:
    """Fields of each member: member, time, row, column."""
    if isinstance(model, RegressionDownscaler):
        return model.estimate(seen)
    chance = step_generator(request.seed, 0, "downscaling draws")
    return model.estimate(seen, generator=chance, members=request.members)[:, 0]


def _check_field(field: GriddedField, about: Mapping[str, Any]) -> None:
    missing = int((~np.isfinite(field.values)).sum())
    if missing:
        raise DataError(f"{field.name}: {missing:,} values are missing: fill or crop them")
    unit = about["unit"]
    if "1" not in (unit, field.unit) and unit != field.unit:
        raise DataError(
            f"{field.name} is in {field.unit}, and the downscaler has learnt from {unit}"
        )


def _mean_on(field: GriddedField, folder: Path, factor: int, *, turned: bool) -> Tensor:
    """The mean that anomalies were taken from, on the fine grid of a coarse field."""
    try:
        with np.load(io.BytesIO((folder / MEAN).read_bytes()), allow_pickle=False) as stored:
            mean, *axes = (stored[name] for name in ("mean", *_AXES))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{folder / MEAN} cannot be read: {error}") from None
    for name, known in zip(_AXES, axes, strict=True):
        wanted = finer(getattr(field, name), factor)
        wanted = wanted[::-1] if turned and name == _AXES[0] else wanted
        if wanted.shape != known.shape or not np.allclose(wanted, known, atol=1e-3):
            raise DataError(
                f"{field.name}: this downscaler adds detail to anomalies on the grid it learnt "
                f"from, {len(axes[0])} by {len(axes[1])} fine cells from {known[0]:g} to "
                f"{known[-1]:g} {name.removesuffix('_deg')}: the coarse field must be on it"
            )
    return torch.from_numpy(mean)
