from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from geoloc.downscaling import coarsen
from geoloc.errors import ConfigError, DataError
from geoloc.experiment.downscaling_fields import fields_of
from geoloc.experiment.downscaling_schema import DownscalingConfig
from geoloc.experiment.loading import model_from_tree


def config(**keys: Any) -> DownscalingConfig:
    return model_from_tree(
        {"name": "test", "networks": {"factor": 2}, **keys}, DownscalingConfig, where=""
    )


@pytest.fixture
def file(tmp_path: Path) -> str:
    """Ten steps of 8 by 12 cells, all values different."""
    values = np.random.default_rng(0).permutation(10 * 8 * 12).reshape(10, 8, 12)
    np.savez(
        tmp_path / "field.npz",
        values=values.astype(np.float32),
        latitude_deg=np.arange(8.0),
        longitude_deg=np.arange(12.0),
        time_day=np.arange(10.0),
        unit="mm",
    )
    return str(tmp_path / "field.npz")


def values_of(file: str) -> torch.Tensor:
    with np.load(file) as stored:
        return torch.from_numpy(stored["values"])


def test_simulated_series_are_different_ones_and_the_same_every_time() -> None:
    small = {"size": 8, "scale_cells": 1.0, "coarse_steps": 5, "fine_steps": 4, "test_steps": 3}
    fields = fields_of(config(simulated=small))
    assert fields.coarse.shape == (16, 5, 4, 4)
    assert fields.fine.shape == (8, 4, 8, 8)
    assert fields.test.shape == (1, 3, 8, 8)
    assert not torch.equal(fields.fine[0, :3], fields.test[0])
    again, other = (fields_of(config(simulated=small, seed=seed)) for seed in (0, 1))
    assert torch.equal(again.test, fields.test)
    assert not torch.equal(other.test, fields.test)
    assert not fields.south_first


def test_held_out_in_time_are_the_last_steps(file: str) -> None:
    keys = {"fine_steps": 4, "test_steps": 3, "window": [2, 4, 6, 8]}
    fields = fields_of(config(source=file, real=keys))
    values = values_of(file)[:, 2:, 4:]
    assert torch.equal(fields.test[0], values[7:])
    assert torch.equal(fields.fine[0], values[3:7])
    assert torch.equal(fields.coarse[0], coarsen(values[:7], 2))
    assert fields.unit == "mm"
    assert fields.south_first


def test_anomalies_know_nothing_of_the_test(file: str) -> None:
    keys = {"fine_steps": 4, "test_steps": 3, "anomalies": True}
    fields = fields_of(config(source=file, real=keys))
    assert float(fields.fine.mean(dim=1).abs().max()) < 1e-3
    values = values_of(file)
    assert torch.allclose(fields.test[0], values[7:] - values[3:7].mean(dim=0), atol=1e-3)


def test_held_out_in_space_are_whole_regions(file: str) -> None:
    keys = {"hold_out": "space", "region_cells": 2, "test_regions": 5, "pool": 2}
    fields = fields_of(config(source=file, real=keys))
    assert fields.test.shape == (5, 10, 2, 2)
    assert fields.fine.shape == (1, 10, 2, 2)
    assert torch.equal(fields.coarse, coarsen(fields.fine, 2))
    pooled = coarsen(values_of(file), 2)
    found = torch.cat([fields.test, fields.fine]).flatten().sort().values
    assert torch.equal(found, pooled.flatten().sort().values)
    for region in fields.test:
        corner = (pooled == region[0, 0, 0]).nonzero()[0]
        row, column = int(corner[1]), int(corner[2])
        assert (row % 2, column % 2) == (0, 0)
        assert torch.equal(region, pooled[:, row : row + 2, column : column + 2])


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"fine_steps": 9, "test_steps": 3}, "10 steps are too few for 9"),
        ({"window": [4, 0, 6, 12]}, "reaches beyond"),
        ({"hold_out": "space", "region_cells": 4, "test_regions": 6}, "of 6 regions"),
        ({"hold_out": "space", "anomalies": True}, "anomalies: false"),
    ],
)
def test_cuts_that_the_field_does_not_allow_are_refused(
    file: str, keys: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        fields_of(config(source=file, real=keys))


def test_axes_of_the_test_are_those_of_its_cells(file: str) -> None:
    keys = {"fine_steps": 4, "test_steps": 3, "window": [2, 4, 6, 8], "pool": 2}
    (axes,) = fields_of(config(source=file, networks={"factor": 1}, real=keys)).axes
    assert axes.latitude_deg.tolist() == [2.5, 4.5, 6.5]
    assert axes.longitude_deg.tolist() == [4.5, 6.5, 8.5, 10.5]
    assert axes.time_day.tolist() == [7.0, 8.0, 9.0]
    keys = {"hold_out": "space", "region_cells": 2, "test_regions": 5}
    fields = fields_of(config(source=file, real=keys))
    values = values_of(file)
    for region, axes in zip(fields.test, fields.axes, strict=True):
        rows, columns = axes.latitude_deg.astype(int), axes.longitude_deg.astype(int)
        assert torch.equal(region, values[:, rows][:, :, columns])


@pytest.mark.parametrize("step", [0, 4, 9])
def test_gaps_are_refused_before_anything_is_learnt(file: str, tmp_path: Path, step: int) -> None:
    with np.load(file) as stored:
        arrays = dict(stored)
    arrays["values"][step, 0, :3] = np.nan
    np.savez(tmp_path / "gaps.npz", **arrays)
    keys = {"fine_steps": 4, "test_steps": 3}
    with pytest.raises(DataError, match="3 of 960 values are missing"):
        fields_of(config(source=str(tmp_path / "gaps.npz"), real=keys))
    inside = {**keys, "window": [2, 0, 6, 12]}
    assert fields_of(config(source=str(tmp_path / "gaps.npz"), real=inside)).axes


@pytest.mark.parametrize(
    ("factor", "pool", "told"),
    [
        (5, 1, "real.window=\\[0, 0, 5, 10\\]"),
        (2, 3, "real.window=\\[0, 0, 6, 12\\]"),
        (9, 1, "can$"),
    ],
)
def test_a_field_that_is_not_of_whole_coarse_cells_names_a_window_that_is(
    file: str, factor: int, pool: int, told: str
) -> None:
    keys = {"fine_steps": 4, "test_steps": 3, "pool": pool}
    with pytest.raises(DataError, match=told):
        fields_of(config(source=file, networks={"factor": factor}, real=keys))


def test_regions_are_cut_from_a_field_whose_edge_is_left_over(file: str) -> None:
    keys = {"hold_out": "space", "region_cells": 6, "test_regions": 1}
    fields = fields_of(config(source=file, networks={"factor": 3}, real=keys))
    assert (len(fields.test), len(fields.fine)) == (1, 1)
    assert torch.equal(
        torch.cat([fields.test, fields.fine]).flatten().sort().values,
        (values_of(file)[:, :6].flatten().sort().values),
    )
