import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

from geoloc.artifacts import write_json
from geoloc.errors import ConfigError, DataError
from geoloc.geostatistics.isotonic import IsotonicFit
from geoloc.geostatistics.lag_distance import model_lag
from geoloc.geostatistics.models import structure
from geoloc.geostatistics.variogram_fit import Structure, VariogramFit

RADIUS = 6371.0
HALF = math.pi * RADIUS


def make(*structures, nugget=0.0, metric="euclidean", **fields):
    lag = np.array([10.0, 100.0, 1000.0])
    return VariogramFit(
        model="+".join(each.model for each in structures) or "nugget",
        structures=structures,
        nugget=nugget,
        metric=metric,
        lag=lag,
        semivariance=lag / 3,
        residual=lag / 7,
        weight=lag / 9,
        **(
            {
                "unit": "km",
                "lag_metric": "euclidean" if metric == "euclidean" else "chord",
                "weights": "n",
                "nugget_fitted": True,
                "given_shape": None,
                "max_lag": math.inf,
                "min_pairs": 30,
                "sse": 0.1,
                "r2": 0.9,
                "aic": -3.3,
            }
            | fields
        ),
    )


def of(model, scale, shape=None, sill=1.0):
    return Structure(model=model, partial_sill=sill, scale=scale, shape=shape)


SUM = make(
    of("stable", 300.0, 0.7, sill=0.4),
    of("spherical", 2000.0, sill=0.2),
    nugget=0.1,
    metric="great_circle",
)


def test_nugget_and_structures_add_up():
    assert SUM.partial_sill == pytest.approx(0.6)
    assert SUM.sill == pytest.approx(0.7)
    assert SUM.scale == 2000
    assert SUM.shape is None
    assert make(of("stable", 300.0, 0.7)).shape == 0.7
    assert SUM.has_structure
    assert not make(of("stable", 300.0, 0.7), flags=("no_structure",)).has_structure
    assert SUM.min_lag == 10
    nugget = make(nugget=0.3)
    assert (nugget.scale, nugget.shape, nugget.partial_sill, nugget.sill) == (0, None, 0, 0.3)
    assert nugget(5.0) == 0.3
    assert nugget.effective_range == 0


def test_semivariance_is_the_written_out_sum_on_chords():
    lag = np.array([0.0, 1.0, 250.0, 6000.0, HALF])
    chord = 2 * RADIUS * np.sin(lag / (2 * RADIUS))
    expected = 0.4 * (1 - np.exp(-((chord / 300) ** 0.7)))
    t = np.minimum(chord / 2000, 1)
    expected += 0.2 * (1.5 * t - 0.5 * t**3) + 0.1
    expected[0] = 0
    np.testing.assert_allclose(SUM(lag), expected, rtol=1e-13)
    direct = make(of("exponential", 300.0), metric="great_circle", lag_metric="great_circle")
    np.testing.assert_allclose(direct(lag), 1 - np.exp(-lag / 300), rtol=1e-13)


def test_metres_and_kilometres_are_one_curve():
    metres = make(of("exponential", 3e6), metric="great_circle", unit="m")
    kilometres = make(of("exponential", 3e3), metric="great_circle")
    lag = np.linspace(0, HALF, 20)
    np.testing.assert_allclose(metres(1000 * lag), kilometres(lag), rtol=1e-12)
    assert metres.effective_range == pytest.approx(1000 * kilometres.effective_range)


def test_kind_dtype_and_shape_of_lags_come_back():
    assert type(SUM(300.0)) is float
    lag = np.linspace(0, 20_000, 12).reshape(3, 4)
    wide = SUM(lag)
    for dtype in (np.float32, np.float64):
        found = SUM(lag.astype(dtype))
        assert found.dtype == dtype
        assert found.shape == (3, 4)
        np.testing.assert_allclose(found, wide, rtol=1e-6)
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        found = SUM(torch.from_numpy(lag).to(dtype))
        assert found.dtype == dtype
        assert found.shape == (3, 4)
        assert (found.double() - torch.from_numpy(wide)).abs().max() < 0.01
    assert SUM(np.array([1, 2])).dtype == np.float64
    assert SUM(torch.tensor([1, 2])).dtype == torch.float64
    assert SUM(torch.tensor(300.0)).shape == ()
    assert math.isnan(SUM(math.nan))
    meta = SUM(torch.empty(4, 2, device="meta"))
    assert (meta.device.type, meta.shape) == ("meta", (4, 2))


@pytest.mark.parametrize(
    "fit",
    [
        SUM,
        make(of("matern", 700.0, 0.33), nugget=0.2, metric="great_circle"),
        make(of("gaussian", 5000.0), metric="great_circle"),
        make(of("cubic", 500.0)),
    ],
)
def test_semivariance_never_falls_and_covariance_is_its_mirror(fit):
    lag = np.concatenate([[0.0], np.geomspace(1e-3, 3e4, 5000)])
    value = fit(lag)
    assert value[0] == 0
    assert (np.diff(value) >= -1e-13).all()
    assert (value <= fit.sill + 1e-13).all()
    np.testing.assert_allclose(fit.covariance(lag), fit.sill - value, atol=1e-13)
    np.testing.assert_allclose(fit.correlation(lag), 1 - value / fit.sill, atol=1e-13)
    assert fit.covariance(0.0) == fit.sill
    assert fit.correlation(0.0) == 1


def test_nothing_is_correlated_where_there_is_no_sill():
    empty = make(of("exponential", 10.0, sill=0.0))
    assert empty.correlation(0.0) == 0
    assert empty.covariance(3.0) == 0
    assert empty.effective_range == 0


@pytest.mark.parametrize(
    ("term", "scales"),
    [
        (of("exponential", 10.0), math.log(20)),
        (of("gaussian", 10.0), math.sqrt(math.log(20))),
        (of("stable", 10.0, 0.1), math.log(20) ** 10),
        (of("spherical", 10.0), brentq(lambda t: 1.5 * t - 0.5 * t**3 - 0.95, 0, 1)),
        (of("matern", 10.0, 0.5), math.log(20)),
        (of("matern", 10.0, 1.5), brentq(lambda t: (1 + t) * math.exp(-t) - 0.05, 1, 9)),
    ],
)
def test_effective_range_in_scales_without_a_nugget(term, scales):
    assert make(term).effective_range == pytest.approx(10 * scales, rel=1e-6)


def test_effective_range_counts_the_nugget_in():
    fit = make(of("exponential", 100.0, sill=0.6), nugget=0.4)
    # 0.4 + 0.6 (1 - exp(-t)) = 0.95
    assert fit.effective_range == pytest.approx(100 * math.log(0.6 / 0.05))
    assert fit(fit.effective_range) == pytest.approx(0.95 * fit.sill, rel=1e-12)
    assert SUM(SUM.effective_range) == pytest.approx(0.95 * SUM.sill, rel=1e-12)
    assert make(of("exponential", 100.0, sill=0.05), nugget=0.95).effective_range == 0
    small = make(of("stable", 100.0, 0.1, sill=0.0500001), nugget=0.95)
    assert small(small.effective_range) == pytest.approx(0.95 * small.sill, rel=1e-12)


def test_effective_range_is_a_great_circle():
    short = make(of("exponential", 2000.0), metric="great_circle").effective_range
    assert 2 * RADIUS * math.sin(short / 2 / RADIUS) == pytest.approx(2000 * math.log(20))
    assert make(of("exponential", 5000.0), metric="great_circle").effective_range == math.inf
    direct = make(of("exponential", 5000.0), metric="great_circle", lag_metric="great_circle")
    assert direct.effective_range == pytest.approx(5000 * math.log(20))
    far = make(of("exponential", 7000.0), metric="great_circle", lag_metric="great_circle")
    assert far.effective_range == math.inf


def test_slope_range_is_where_the_curve_flattens():
    direct = make(of("exponential", 1000.0), metric="great_circle", lag_metric="great_circle")
    # exp(-h / a) / a = 0.01 a radian
    expected = 1000 * math.log(RADIUS / 1000 / 0.01)
    assert direct.slope_range() == pytest.approx(expected, rel=1e-4)
    assert direct.slope_range(1e-4) == pytest.approx(1000 * math.log(10), rel=1e-4)
    assert direct.slope_range(1.0) == 0
    assert direct.slope_range(1e-12) == math.inf
    # a gaussian is flat at both ends: 2 t exp(-t^2) = 0.5 beyond its steepest at 0.7
    plain = make(of("gaussian", 100.0), nugget=0.3)
    expected = 100 * brentq(lambda t: 2 * t * math.exp(-t * t) - 0.5, 0.8, 3)
    assert plain.slope_range(0.005) == pytest.approx(expected, rel=1e-3)
    chord = make(of("gaussian", 1e5), metric="great_circle")
    # at the antipode the chord no longer grows
    assert chord.slope_range(1e-9) < HALF
    with pytest.raises(ConfigError, match="slope"):
        plain.slope_range()
    assert make(nugget=0.3).slope_range(0.1) == 0


def test_validity_depends_on_the_lag_metric_and_the_scale():
    on_earth = {"metric": "great_circle", "lag_metric": "great_circle"}
    assert not make(of("gaussian", 100.0), **on_earth).valid
    assert not make(of("exponential", 1.0), of("stable", 100.0, 1.2), **on_earth).valid
    assert make(of("exponential", 1.0), of("stable", 100.0, 1.2, sill=0.0), **on_earth).valid
    assert make(of("stable", 100.0, 1.0), **on_earth).valid
    assert make(of("spherical", HALF), **on_earth).valid
    assert not make(of("spherical", HALF * 1.01), **on_earth).valid
    assert make(of("gaussian", 1e5), metric="great_circle").valid
    assert make(of("gaussian", 1e5)).valid


def test_intervals():
    errors = {"sill": 0.2, "nugget": 0.1, "scale": 0.5, "effective_range": math.inf}
    fit = make(of("exponential", 100.0), nugget=0.1, standard_error=errors)
    assert fit.interval("sill") == pytest.approx((1.1 - 0.3919928, 1.1 + 0.3919928))
    assert fit.interval("nugget") == pytest.approx((0.0, 0.2959964))
    ratio = math.exp(0.979982)
    assert fit.interval("scale") == pytest.approx((100 / ratio, 100 * ratio))
    assert fit.interval("effective_range") == (0.0, math.inf)
    with pytest.raises(ConfigError, match="shape"):
        fit.interval("shape")


def test_files_hold_the_fit_to_the_last_bit(tmp_path):
    fit = dataclasses.replace(
        SUM,
        standard_error={"sill": 0.1 + 0.2, "scale": math.inf},
        flags=("nugget_at_zero",),
        provenance={"samples": 3},
    )
    path = tmp_path / "fits" / "variogram_fit.json"
    fit.save(path)
    text = path.read_text()
    assert json.loads(text)["schema_version"] == 1
    assert "NaN" not in text
    assert "Infinity" not in text
    again = VariogramFit.load(path)
    for each in dataclasses.fields(VariogramFit):
        old, new = getattr(fit, each.name), getattr(again, each.name)
        assert type(old) is type(new)
        assert np.array_equal(old, new) if isinstance(old, np.ndarray) else old == new
    lag = np.linspace(0, 2e4, 50)
    np.testing.assert_array_equal(fit(lag), again(lag))
    assert VariogramFit.from_json(fit.to_json()).to_json() == fit.to_json()


def test_foreign_and_damaged_files_are_refused(tmp_path):
    content = SUM.to_json()
    with pytest.raises(DataError, match="IsotonicFit"):
        IsotonicFit.from_json(content)
    with pytest.raises(DataError, match="version 2"):
        VariogramFit.from_json(content | {"schema_version": 2})
    del content["nugget"]
    write_json(tmp_path / "fit.json", content)
    with pytest.raises(DataError, match="nugget"):
        VariogramFit.load(tmp_path / "fit.json")
    with pytest.raises(DataError, match="variogram fit"):
        VariogramFit.load(tmp_path / "nothing.json")


def test_a_model_sees_chords_no_longer_than_the_diameter():
    lag = torch.tensor([0.0, HALF, 2 * HALF], dtype=torch.float64)
    chord = model_lag(lag, "chord", "km")
    assert chord.tolist() == pytest.approx([0, 2 * RADIUS, 2 * RADIUS])
    beyond = structure("exponential", chord / 1000)
    assert beyond[1] == beyond[2]
    assert model_lag(lag, "great_circle", "km").tolist() == pytest.approx([0, HALF, HALF])
    assert model_lag(lag, "euclidean", "km").tolist() == lag.tolist()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("structures", [1]),
        ("structures", "x"),
        ("lag", "many"),
        ("standard_error", 3),
        ("unit", "parsec"),
    ],
)
def test_damaged_fits_are_told(name, value):
    content = make(Structure(model="exponential", partial_sill=1.0, scale=9.0)).to_json()
    if name == "unit":
        content["metric"], content["lag_metric"] = "great_circle", "chord"
    with pytest.raises(DataError, match="damaged"):
        VariogramFit.from_json(content | {name: value})
