import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import gamma, kv

from geoloc.errors import ConfigError
from geoloc.geostatistics.matern import matern_structure
from geoloc.geostatistics.models import MODELS, fixed_shapes, named_model, split_sum, structure

CASES = [
    ("nugget", None),
    ("spherical", None),
    ("cubic", None),
    ("exponential", None),
    ("gaussian", None),
    *(("stable", shape) for shape in (0.1, 0.5, 1.0, 1.5, 2.0)),
    *(("matern", shape) for shape in (0.1, 0.3, 0.5, 1.0, 1.5, 2.5, 5.0)),
]


NODES = np.polynomial.legendre.leggauss(800)


def float64(values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_structures_rise_from_0_to_1(name, shape):
    t = torch.cat([float64([0.0]), torch.logspace(-8, 12, 4000, dtype=torch.float64)])
    s = structure(name, t, shape)
    assert s[0] == 0
    assert s[-1] == pytest.approx(1.0, abs=1e-6)
    assert (s.diff() >= -1e-13).all()
    assert ((s >= 0) & (s <= 1 + 1e-13)).all()
    assert structure(name, float64([math.inf]), shape) == pytest.approx(1.0, abs=1e-13)


@pytest.mark.parametrize(
    ("name", "shape", "formula"),
    [
        ("spherical", None, lambda t: 1.5 * t - 0.5 * t**3 if t < 1 else 1.0),
        (
            "cubic",
            None,
            lambda t: 7 * t**2 - 35 / 4 * t**3 + 7 / 2 * t**5 - 3 / 4 * t**7 if t < 1 else 1.0,
        ),
        ("exponential", None, lambda t: 1 - math.exp(-t)),
        ("gaussian", None, lambda t: 1 - math.exp(-(t**2))),
        ("stable", 0.7, lambda t: 1 - math.exp(-(t**0.7))),
        ("matern", 1.5, lambda t: 1 - (1 + t) * math.exp(-t)),
        ("matern", 2.5, lambda t: 1 - (1 + t + t * t / 3) * math.exp(-t)),
        ("nugget", None, lambda t: 1.0),
    ],
)
def test_structures_are_the_written_out_formulas(name, shape, formula):
    t = np.array([0.01, 0.3, 0.7, 0.999, 1.0, 1.001, 2.0, 7.0])
    expected = np.array([formula(each) for each in t])
    found = structure(name, torch.from_numpy(t), shape).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-14)


@given(st.floats(0.1, 5.0), st.floats(-9, 1.5))
def test_matern_is_scipys_bessel_function(shape, exponent):
    t = 10.0**exponent
    expected = 1 - 2 ** (1 - shape) / gamma(shape) * t**shape * kv(shape, t)
    assert float(matern_structure(float64([t]), shape)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("shape", [0.5, 1.5, 2.5])
def test_closed_forms_are_the_integral(shape):
    t = torch.logspace(-8, 2, 400, dtype=torch.float64)
    integral = matern_structure(t, torch.full_like(t, shape))
    torch.testing.assert_close(matern_structure(t, shape), integral, atol=1e-12, rtol=0)


def test_shapes_broadcast_as_tensors():
    t, shape = torch.rand(3, 1, 4, dtype=torch.float64), float64([[0.4], [1.1]])
    for name in ("stable", "matern"):
        together = structure(name, t, shape)
        assert together.shape == (3, 2, 4)
        for number, each in enumerate([0.4, 1.1]):
            alone = structure(name, t[:, 0], each)
            torch.testing.assert_close(together[:, number], alone, atol=1e-13, rtol=0)


def legendre_coefficients(correlation, count=121, end=math.pi):
    """Naive Schoenberg coefficients: (2n + 1) / 2 times the integral of rho P_n over the sphere.

    Integrated over the angle in two pieces, since compact families have a seam at `end`.
    """
    node, weight = NODES
    pieces = [(0.0, end), (end, math.pi)] if end < math.pi else [(0.0, math.pi)]
    total = np.zeros(count)
    for low, high in pieces:
        # nodes crowd at the start, where rough correlations have a cusp
        u = (node + 1) / 2
        angle = low + (high - low) * u**4
        measure = weight * 2 * u**3 * (high - low) * np.sin(angle)
        table = np.polynomial.legendre.legvander(np.cos(angle), count - 1)
        total += (measure * correlation(angle)) @ table
    return (2 * np.arange(count) + 1) / 2 * total


def minimum(name, shape, scale, *, chord):
    def correlation(angle):
        lag = 2 * np.sin(angle / 2) if chord else angle
        return 1 - structure(name, torch.from_numpy(lag / scale), shape).numpy()

    end = math.pi
    if named_model(name).compact and scale < (2 if chord else math.pi):
        end = 2 * math.asin(scale / 2) if chord else scale
    found = legendre_coefficients(correlation, end=end)
    assert found.sum() <= 1 + 1e-9
    return found.min()


@pytest.mark.parametrize("scale", [0.05, 0.3, 1.0, 2.0])
@pytest.mark.parametrize(("name", "shape"), CASES[1:])
def test_claimed_models_are_covariances_on_the_sphere(name, shape, scale):
    model = named_model(name)
    assert model.valid_on_chord(shape)
    assert minimum(name, shape, scale, chord=True) >= -1e-9
    if model.valid_on_great_circle(shape):
        assert minimum(name, shape, scale, chord=False) >= -1e-9


@pytest.mark.parametrize(
    ("name", "shape", "scale", "worst"),
    [
        ("gaussian", None, 1.0, -2.3e-6),
        ("gaussian", None, 2.0, -6.2e-3),
        ("stable", 1.5, 2.0, -1.3e-4),
        ("matern", 1.5, 1.0, -1.6e-3),
        ("matern", 2.5, 1.0, -1.4e-2),
    ],
)
def test_other_models_are_none_with_great_circles(name, shape, scale, worst):
    assert not named_model(name).valid_on_great_circle(shape)
    assert minimum(name, shape, scale, chord=False) == pytest.approx(worst, rel=0.05)


def test_bounds_of_validity():
    assert named_model("stable").valid_on_great_circle(1.0)
    assert not named_model("stable").valid_on_great_circle(1.01)
    assert named_model("matern").valid_on_great_circle(0.5)
    assert not named_model("matern").valid_on_great_circle(0.51)
    assert not named_model("stable").valid_on_chord(2.1)
    assert all(model.valid_on_chord() for model in MODELS.values())


def test_sums_by_name():
    named, families = split_sum("nugget + exponential+spherical")
    assert named
    assert [each.name for each in families] == ["exponential", "spherical"]
    assert split_sum("nugget") == (True, ())
    assert split_sum("matern") == (False, (MODELS["matern"],))


def test_unknown_and_too_many_names_are_refused():
    with pytest.raises(ConfigError, match=r"spherical.*matern"):
        split_sum("exponental")
    with pytest.raises(ConfigError, match="spherical"):
        structure("", float64([1.0]))
    with pytest.raises(ConfigError, match="3 structures"):
        split_sum("exponential+spherical+gaussian")


def test_shapes_are_free_alone_and_fixed_in_sums():
    stable, matern, plain = (MODELS[name] for name in ("stable", "matern", "exponential"))
    assert fixed_shapes((stable,), None) == (None,)
    assert fixed_shapes((stable,), 0.7) == (0.7,)
    assert fixed_shapes((stable, matern), None) == (0.5, 1.5)
    assert fixed_shapes((plain, matern), 2.0) == (None, 2.0)
    for families, shape in (((stable,), 2.1), ((matern,), 0.0), ((plain,), 1.0)):
        with pytest.raises(ConfigError, match="shape"):
            fixed_shapes(families, shape)
    with pytest.raises(ConfigError, match="needs a shape"):
        structure("stable", float64([1.0]))
