from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geoloc.data.packaged_fields import read_field
from geoloc.errors import ConfigError, DataError
from geoloc.spacetime import eof_basis

SPEC = importlib.util.find_spec("eofs")
needs_eofs = pytest.mark.skipif(SPEC is None, reason="eofs is not installed")


def reference(name):
    return np.load(Path(SPEC.origin).parent / "tests" / "data" / f"{name}.npy")


def random_values(samples, columns, seed=0):
    return torch.randn(
        (samples, columns), generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


@needs_eofs
@pytest.mark.parametrize("kind", ["equal", "latitude", "area"])
def test_equals_the_reference_solution_of_eofs(kind):
    field = torch.from_numpy(reference("sst").astype(np.float64)).flatten(1)
    weight = None
    if kind != "equal":
        given_weight = reference(f"weights.{kind}").astype(np.float64)
        shape = reference("sst").shape[1:]
        weight = torch.from_numpy(np.broadcast_to(given_weight, shape).copy()).flatten()
    found = eof_basis(field, weight=weight)
    wanted = {
        name: torch.from_numpy(np.asarray(reference(f"{name}.{kind}"), dtype=np.float64))
        for name in ("eigenvalues", "eofs", "pcs", "variance", "errors")
    }
    count = len(wanted["variance"])
    torch.testing.assert_close(
        found.variance[: len(wanted["eigenvalues"])], wanted["eigenvalues"], rtol=1e-10, atol=1e-10
    )
    torch.testing.assert_close(
        100 * found.share[:count], wanted["variance"], rtol=1e-10, atol=1e-10
    )
    errors = wanted["errors"]
    torch.testing.assert_close(found.variance_error[: len(errors)], errors, rtol=1e-10, atol=1e-10)
    theirs = wanted["eofs"].flatten(1)
    ours = found.pattern[: len(theirs)]
    assert torch.equal(torch.isnan(ours), torch.isnan(theirs))
    known = ~torch.isnan(theirs[0])
    sign = torch.sign((ours * theirs)[:, known].sum(dim=1, keepdim=True))
    torch.testing.assert_close((ours * sign)[:, known], theirs[:, known], rtol=1e-10, atol=1e-10)
    pcs = wanted["pcs"]
    torch.testing.assert_close(
        found.score[:, : pcs.shape[1]] * sign[: pcs.shape[1], 0], pcs, rtol=1e-10, atol=1e-10
    )


@needs_eofs
def test_published_eigenvalues():
    field = torch.from_numpy(reference("sst").astype(np.float64)).flatten(1)
    found = eof_basis(field)
    expected = torch.tensor([14.58859768, 5.07453998, 2.27150297], dtype=torch.float64)
    torch.testing.assert_close(found.variance[:3], expected, rtol=0, atol=1e-8)
    assert float(found.share[0]) == pytest.approx(0.5120862404, abs=1e-9)


@pytest.mark.skipif(
    importlib.util.find_spec("iris_sample_data") is None, reason="the fields extra is missing"
)
def test_variance_of_a_real_field():
    field = read_field("package:north-america-temperature")
    weight = torch.from_numpy(np.cos(np.radians(field.latlon_deg()[:, 0]))).sqrt()
    found = eof_basis(torch.from_numpy(field.series().astype(np.float64)), weight=weight)
    # as other software has them
    assert found.share[:4].tolist() == pytest.approx([0.8797, 0.0266, 0.0228, 0.0128], abs=5e-5)
    assert found.components_for(0.95) == 5


@given(st.integers(2, 9), st.integers(1, 9), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_recomposes_what_it_was_made_from(samples, columns, seed):
    values = random_values(samples, columns, seed)
    weight = random_values(1, columns, seed + 1)[0].exp()
    found = eof_basis(values, weight=weight)
    torch.testing.assert_close(found.recompose(found.score), values)
    torch.testing.assert_close(found.project(values), found.score)
    assert float(found.share.sum()) == pytest.approx(1.0)


def test_temporal_form_is_the_dual():
    values = random_values(12, 7)
    # without their means on either side both have the same singular values
    both = values - values.mean(dim=0)
    both = both - both.mean(dim=1, keepdim=True)
    maps, series = eof_basis(both), eof_basis(both.T)
    torch.testing.assert_close(maps.variance[:6] * 11, series.variance[:6] * 6)
    norm = series.score[:, 0] / series.score[:, 0].norm()
    assert abs(float(maps.pattern[0] @ norm)) == pytest.approx(1.0)


def test_randomised_equals_exact_where_components_stand_apart():
    left, right = random_values(80, 5), random_values(5, 60, 1)
    values = left @ torch.diag(torch.tensor([16.0, 8.0, 4.0, 2.0, 1.0]).double()) @ right
    exact, found = eof_basis(values).leading(3), eof_basis(values, components=3)
    torch.testing.assert_close(found.variance, exact.variance)
    torch.testing.assert_close(found.pattern, exact.pattern)
    torch.testing.assert_close(found.score, exact.score)
    assert found.total_variance == pytest.approx(exact.total_variance)
    assert found.components_for(float(found.share[:2].sum())) == 2


def test_components_for_a_share_are_the_fewest():
    scale = torch.tensor([9.0, 4.0, 1.0]).double()
    # orthogonal columns without a mean
    columns = torch.tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]).double()
    basis = eof_basis(columns * scale.sqrt())
    torch.testing.assert_close(basis.share, scale / 14.0)
    counts = [basis.components_for(share) for share in (0.5, 9 / 14, 0.65, 13 / 14, 0.95, 1.0)]
    assert counts == [1, 1, 2, 2, 3, 3]
    with pytest.raises(DataError, match="components have less"):
        basis.leading(2).components_for(0.95)


def test_components_above_noise_are_those_planted():
    signal = 3.0 * random_values(300, 4) @ random_values(4, 120, 1)
    basis = eof_basis(signal + random_values(300, 120, 2))
    assert basis.components_above_noise() == 4
    # the same matrix lying on its side
    assert eof_basis((signal + random_values(300, 120, 2)).T).components_above_noise() == 4
    with pytest.raises(ConfigError, match="all components"):
        basis.leading(10).components_above_noise()


def test_signs_are_settled():
    values = random_values(9, 6)
    one, other = eof_basis(values), eof_basis(-values)
    torch.testing.assert_close(one.pattern, other.pattern)
    torch.testing.assert_close(one.score, -other.score)
    greatest = one.pattern.gather(1, one.pattern.abs().argmax(dim=1, keepdim=True))
    assert bool((greatest > 0).all())


def test_missing_columns_are_left_out_and_gaps_refused():
    values = random_values(8, 5)
    values[:, 2] = torch.nan
    found = eof_basis(values)
    assert bool(torch.isnan(found.pattern[:, 2]).all())
    kept = [0, 1, 3, 4]
    alone = eof_basis(values[:, kept])
    torch.testing.assert_close(found.pattern[:, kept], alone.pattern)
    torch.testing.assert_close(found.project(values), found.score)
    values[3, 4] = torch.nan
    with pytest.raises(DataError, match="column 4 has values and gaps"):
        eof_basis(values)
    with pytest.raises(DataError, match="no scores"):
        found.project(values)


def test_refuses_what_has_no_eof():
    with pytest.raises(DataError, match="two at least"):
        eof_basis(torch.zeros((1, 3), dtype=torch.float64))
    with pytest.raises(DataError, match="no value varies"):
        eof_basis(torch.ones((4, 3), dtype=torch.float64))
    with pytest.raises(ConfigError, match="above zero"):
        eof_basis(random_values(4, 2), weight=torch.tensor([1.0, 0.0]).double())
    for count in (0, 3):
        with pytest.raises(ConfigError, match="no more than all"):
            eof_basis(random_values(4, 2), components=count)
        with pytest.raises(ConfigError, match="no more than all"):
            eof_basis(random_values(4, 2)).leading(count)
    with pytest.raises(ConfigError, match="share"):
        eof_basis(random_values(4, 2)).components_for(0.0)
