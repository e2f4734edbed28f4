"""Over simulated worlds of known spatial correlation, 95 % intervals hold the truth so often."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from geoloc.evaluation import block_intervals, spatial_blocks
from geoloc.evaluation.block_variance import BlockVariance
from geoloc.evaluation.error_correlation import block_warning, correlation_length_km
from geoloc.evaluation.metrics import RowMeasure
from geoloc.geostatistics import gaussian_field
from geoloc.places import even_land_points

BLOCK_KM = 500.0
WORLDS = 200


@pytest.fixture(scope="module")
def places():
    """Crowded and empty regions: a third of the places in two small parts of the land."""
    land = even_land_points(900)
    generator = np.random.default_rng(0)
    crowded = np.concatenate(
        [centre + generator.normal(0, 4, (140, 2)) for centre in ([48.0, 8.0], [38.0, -90.0])]
    )
    return np.concatenate([land[generator.choice(len(land), 420, replace=False)], crowded])


def fields(places, ratio):
    """Two fields a world, sharing half of their variance, of variance one."""
    scale_km = ratio * BLOCK_KM
    source = torch.Generator().manual_seed(3)
    field = gaussian_field(
        places, lambda lag: torch.exp(-lag / scale_km), generator=source, fields=3 * WORLDS
    )
    z = field[:, :, 0].numpy().reshape(WORLDS, 3, -1)
    return (z[:, :1] + z[:, 1:]) / np.sqrt(2.0)


def coverage(places, ratio, *, blocks):
    """How often each interval holds the truth: a share of 0.5, a median, a difference of 0."""
    everyone = np.ones(len(places), dtype=bool)
    block = spatial_blocks(places, block_km=BLOCK_KM) if blocks else np.arange(len(places))
    variance = BlockVariance(places, block_km=BLOCK_KM) if blocks else None
    hits = np.zeros(3)
    for number, (one, other) in enumerate(fields(places, ratio)):
        right = (one < 0.0).astype(float), (other < 0.0).astype(float)
        told = block_intervals(
            {
                "share": RowMeasure(value=right[0], counted=everyone),
                "difference": RowMeasure(value=right[1] - right[0], counted=everyone),
            },
            np.exp(one),
            block,
            variance=variance,
            resamples=120,
            seed=number,
        )
        truth = {"share": 0.5, "median_km": 1.0, "difference": 0.0}
        hits += [told[key][0] <= value <= told[key][1] for key, value in truth.items()]
    return hits / WORLDS


@pytest.mark.parametrize("ratio", [0.07, 0.2])
def test_intervals_keep_their_promise_up_to_a_fifth_of_a_block(places, ratio):
    # 200 worlds leave a standard error of 1.5 points
    held = coverage(places, ratio, blocks=True)
    assert (held >= 0.915).all(), held
    assert (held <= 0.99).all(), held


def test_drawing_rows_fails_where_errors_resemble_one_another(places):
    held = coverage(places, 0.2, blocks=False)
    assert (held < 0.85).all(), held


def test_beyond_it_intervals_are_too_narrow_and_the_user_is_told(places):
    held = coverage(places, 1.5, blocks=True)
    assert (held < 0.92).any(), held
    told = [
        block_warning(correlation_length_km(places, one, block_km=BLOCK_KM), BLOCK_KM)
        for one, _ in fields(places, 1.5)[:10]
    ]
    assert sum(each is not None for each in told) >= 8


def test_the_correlation_length_of_known_fields_is_found(places):
    lengths = [
        correlation_length_km(places, one, block_km=BLOCK_KM) for one, _ in fields(places, 0.4)[:12]
    ]
    assert np.median(lengths) == pytest.approx(0.4 * BLOCK_KM, rel=0.5), lengths
    noise = np.random.default_rng(1).normal(size=(8, len(places)))
    told = [correlation_length_km(places, each, block_km=BLOCK_KM) for each in noise]
    assert np.median(told) < 0.1 * BLOCK_KM, told
