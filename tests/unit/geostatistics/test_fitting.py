import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares

from geoloc.errors import ConfigError, DataError
from geoloc.geostatistics.bin_weights import bin_weights
from geoloc.geostatistics.curves import fit_curves
from geoloc.geostatistics.fitting import fit_best, fit_variogram
from geoloc.geostatistics.lag_distance import model_lag
from geoloc.geostatistics.lags import LagBins
from geoloc.geostatistics.models import split_sum, structure
from geoloc.geostatistics.variogram import Variogram

LAG = np.geomspace(3.0, 9000.0, 24)
SHAPED = {"stable": (0.3, 2.0), "matern": (0.2, 3.0)}
SINGLE = ["spherical", "cubic", "exponential", "gaussian", "stable", "matern"]


def curve(lag, nugget, *terms):
    """nugget + sum of (name, partial sill, scale, shape)."""
    total = torch.full((len(lag),), float(nugget), dtype=torch.float64)
    for name, sill, scale, shape in terms:
        total += sill * structure(name, torch.from_numpy(lag / scale), shape)
    return total.numpy()


def fit(lag, value, weight=None, **settings):
    """One curve through `fit_curves`."""
    rows = [lag, value, np.ones_like(lag) if weight is None else weight]
    return fit_curves(*(torch.from_numpy(each)[None] for each in rows), **settings)


def variogram(lag, value, *, metric="great_circle", **fields):
    count = len(lag)
    edges = np.concatenate([[0.0], (lag[1:] + lag[:-1]) / 2, [2 * lag[-1]]])
    given = {
        "spread": np.full(count, math.nan),
        "pair_count": np.full(count, 1000),
        "standard_error": np.full(count, math.nan),
    }
    return Variogram(
        bins=LagBins(edges=edges),
        bin=np.arange(count),
        lag=lag,
        semivariance=value,
        metric=metric,
        **(given | fields),
    )


@settings(max_examples=25)
@given(
    st.sampled_from(SINGLE),
    st.floats(0.02, 1),
    st.floats(0.05, 3),
    st.floats(math.log(20), math.log(2500)),
    st.floats(0.02, 0.98),
)
def test_known_parameters_come_back_from_curves_without_noise(name, nugget, sill, scale, share):
    low, high = SHAPED.get(name, (1.0, 1.0))
    shape = low * (high / low) ** share if name in SHAPED else None
    value = curve(LAG, nugget, (name, sill, math.exp(scale), shape))
    fits = fit(LAG, value, model=name)
    assert float(fits.square) < 1e-16 * (value**2).sum()
    assert float(fits.nugget) == pytest.approx(nugget, abs=2e-5 * (nugget + sill))
    assert float(fits.partial_sill) == pytest.approx(sill, rel=1e-4)
    assert float(fits.scale) == pytest.approx(math.exp(scale), rel=1e-4)
    if shape is not None:
        assert float(fits.shape) == pytest.approx(shape, rel=1e-4)


@pytest.mark.parametrize("name", SINGLE)
@pytest.mark.parametrize("nugget", [0.0, 1e-9, 0.7])
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_at_the_bounds_of_nugget_and_shape(name, nugget, share):
    # where a nugget or a shape comes to its bound the squares have a seam, and steps end early
    low, high = SHAPED.get(name, (1.0, 1.0))
    shape = low * (high / low) ** share if name in SHAPED else None
    value = curve(LAG, nugget, (name, 1.3, 300.0, shape))
    fits = fit(LAG, value, model=name)
    assert float(fits.square) < 1e-6 * (value**2).sum()
    assert float(fits.nugget) == pytest.approx(nugget, abs=5e-4)
    assert float(fits.scale) == pytest.approx(300.0, rel=5e-3)
    assert float(fits.partial_sill) == pytest.approx(1.3, rel=1e-3)


@settings(max_examples=15)
@given(
    st.sampled_from(["exponential+spherical", "spherical+spherical", "gaussian+stable"]),
    st.floats(0.02, 1),
    st.tuples(st.floats(0.2, 2), st.floats(0.2, 2)),
    st.floats(30, 90),
    st.floats(8, 30),
)
def test_both_structures_of_a_sum_come_back(name, nugget, sills, shorter, ratio):
    names = name.split("+")
    scales = (shorter, shorter * ratio)
    shapes = [0.5 if each == "stable" else None for each in names]
    value = curve(LAG, nugget, *zip(names, sills, scales, shapes, strict=True))
    fits = fit(LAG, value, model=name)
    assert float(fits.square) < 1e-13 * (value**2).sum()
    order = fits.scale[0].argsort() if names[0] == names[1] else [0, 1]
    np.testing.assert_allclose(fits.partial_sill[0][order].numpy(), sills, rtol=1e-3)
    np.testing.assert_allclose(fits.scale[0][order].numpy(), scales, rtol=1e-3)


def naive_least_squares(lag, value, weight, name):
    """SciPy's bounded trust region from many starts over all parameters."""
    _, families = split_sum(name)
    shaped = [each.has_shape and len(families) == 1 for each in families]
    top = value.max()

    def residual(parameters):
        nugget, rest = parameters[0], parameters[1:].reshape(len(families), -1)
        total = np.full_like(lag, nugget)
        for family, free, row in zip(families, shaped, rest, strict=True):
            shape = row[2] if free else family.default_shape
            t = torch.from_numpy(lag / math.exp(row[1]))
            shape = torch.tensor(shape, dtype=torch.float64) if free else shape
            total += row[0] * family.function(t, shape).numpy()
        return np.sqrt(weight) * (value - total)

    low, high, starts = [0.0], [np.inf], []
    for family, free in zip(families, shaped, strict=True):
        low += [0.0, math.log(lag[0] / 20)]
        high += [np.inf, math.log(1000 * lag[-1])]
        if free:
            low.append(family.shape_bounds[0])
            high.append(family.shape_bounds[1])
    for scale in np.geomspace(lag[0], 2 * lag[-1], 6):
        start = [0.3 * top]
        for number, free in enumerate(shaped):
            start += [0.6 * top / len(families), math.log(scale * (1 + 5 * number))]
            start += [1.0] if free else []
        starts.append(start)
    found = [
        least_squares(residual, start, bounds=(low, high), x_scale="jac", xtol=1e-14, ftol=1e-14)
        for start in starts
    ]
    return min(2 * each.cost for each in found)


@pytest.mark.parametrize("name", [*SINGLE[:5], "exponential+spherical"])
def test_never_worse_than_scipy_from_many_starts(name):
    rng = np.random.default_rng(SINGLE.index(name) if name in SINGLE else 9)
    for number in range(2 if "+" in name else 6):
        lag = np.sort(rng.uniform(10, 1000, 15))
        truth = curve(lag, 0.2, ("exponential", 1.0, rng.uniform(30, 500), None))
        value = truth * (1 + 0.25 * rng.standard_normal(15)).clip(0.1)
        weight = rng.uniform(0.1, 1, 15) / (lag**2 if number % 2 else 1.0)
        ours = float(fit(lag, value, weight, model=name).square)
        assert ours <= naive_least_squares(lag, value, weight, name) * (1 + 1e-6)


def noisy_curves(count, *, seed=0):
    rng = np.random.default_rng(seed)
    scales = np.exp(rng.uniform(math.log(50), math.log(2000), count))
    truth = np.stack([curve(LAG, 0.1, ("stable", 0.6, scale, 0.8)) for scale in scales])
    return torch.from_numpy(truth * (1 + 0.1 * rng.standard_normal(truth.shape)))


@pytest.mark.parametrize("reweight", [False, True])
@pytest.mark.parametrize("name", ["exponential", "stable", "exponential+spherical"])
def test_a_batch_is_its_curves(name, reweight):
    values, weight = noisy_curves(7), torch.rand(7, len(LAG), dtype=torch.float64) + 0.1
    lag = torch.from_numpy(LAG)[None]
    together = fit_curves(lag, values, weight, model=name, reweight=reweight)
    apart = fit_curves(lag.expand(7, -1), values, weight, model=name, reweight=reweight)
    torch.testing.assert_close(apart.square, together.square, rtol=1e-6, atol=0)
    for number in range(7):
        row = slice(number, number + 1)
        alone = fit_curves(lag, values[row], weight[row], model=name, reweight=reweight)
        torch.testing.assert_close(alone.square, together.square[row], rtol=1e-6, atol=0)


def test_units_change_the_answer_only_in_proportion():
    values, lag = noisy_curves(5).numpy(), LAG
    for name in ("spherical", "stable"):
        for reweight in (False, True):
            plain = [fit(lag, row, model=name, reweight=reweight) for row in values]
            scaled = [fit(1e6 * lag, 1e-12 * row, model=name, reweight=reweight) for row in values]
            for one, other in zip(plain, scaled, strict=True):
                assert float(other.scale) == pytest.approx(1e6 * float(one.scale), rel=1e-4)
                assert float(other.nugget) == pytest.approx(
                    1e-12 * float(one.nugget), rel=1e-4, abs=1e-18
                )
                square = float(one.square) * (1 if reweight else 1e-24)
                assert float(other.square) == pytest.approx(square, rel=1e-8)


@pytest.mark.parametrize("reweight", [False, True])
def test_bins_without_weight_or_value_do_not_exist(reweight):
    lag, value = LAG.copy(), noisy_curves(1)[0].numpy()
    keep = np.ones(len(lag), dtype=bool)
    keep[[0, 5, 11, 17]] = False
    weight = np.ones_like(lag)
    weight[5], value[11], lag[17], weight[0] = 0.0, math.nan, math.nan, math.nan
    holes = fit(lag, value, weight, model="spherical", reweight=reweight)
    dense = fit(lag[keep], value[keep], model="spherical", reweight=reweight)
    assert float(holes.square) == pytest.approx(float(dense.square), rel=1e-7)
    assert float(holes.scale) == pytest.approx(float(dense.scale), rel=1e-5)
    assert (holes.weight[0].numpy()[~keep] == 0).all()


@pytest.mark.parametrize("name", ["nugget", "exponential", "stable", "spherical+gaussian"])
def test_nothing_fails_for_want_of_data(name):
    lag = torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64)
    value = torch.tensor(
        [[math.nan] * 3, [0.0] * 3, [1.0] * 3, [2.0, math.nan, math.nan], [3.0, 2.0, 1.0]],
        dtype=torch.float64,
    )
    for reweight in (False, True):
        fits = fit_curves(lag, value, torch.ones_like(lag), model=name, reweight=reweight)
        assert fits.nugget.isfinite().all()
        assert fits.square.isfinite().all()
        sill = fits.nugget + fits.partial_sill.sum(-1)
        torch.testing.assert_close(sill[:3], value.new_tensor([0.0, 0.0, 1.0]), atol=1e-6, rtol=0)


def test_reweighted_fits_are_the_best_under_their_own_weights():
    values = noisy_curves(4, seed=3)
    lag, count = torch.from_numpy(LAG)[None], torch.arange(1.0, 25, dtype=torch.float64)[None]
    for name in ("exponential", "spherical", "stable"):
        found = fit_curves(lag, values, count, model=name, reweight=True)
        again = fit_curves(lag, values, found.weight, model=name)
        torch.testing.assert_close(again.square, found.square, rtol=1e-7, atol=0)
        torch.testing.assert_close(again.scale, found.scale, rtol=1e-3, atol=0)
        for number in range(4):
            shape = float(found.shape[number, 0]) if name == "stable" else None
            term = (name, float(found.partial_sill[number]), float(found.scale[number]), shape)
            gamma = curve(LAG, float(found.nugget[number]), term)
            expected = count[0].numpy() / gamma**2
            np.testing.assert_allclose(found.weight[number].numpy(), expected, rtol=1e-5)


def test_nugget_can_be_fixed_and_named():
    value = noisy_curves(1)[0].numpy()
    assert float(fit(LAG, value, model="exponential", nugget=False).nugget) == 0
    named = fit(LAG, value, model="nugget+exponential", nugget=False)
    free = fit(LAG, value, model="exponential")
    assert float(named.nugget) == float(free.nugget) > 0


def test_default_fit_is_on_chords_up_to_a_quarter_of_the_circumference():
    lag = np.linspace(100, 20_000, 60)
    chord = model_lag(torch.from_numpy(lag), "chord", "km").numpy()
    np.testing.assert_allclose(chord, 2 * 6371 * np.sin(lag / 2 / 6371))
    value = curve(chord, 0.1, ("stable", 0.5, 3000.0, 1.2))
    value[lag > math.pi * 6371 / 2] = 9.0
    found = fit_variogram(variogram(lag, value))
    assert found.lag_metric == "chord"
    assert found.scale == pytest.approx(3000, rel=1e-5)
    assert found.shape == pytest.approx(1.2, rel=1e-5)
    assert found.lag.max() <= math.pi * 6371 / 2
    assert np.abs(found.residual).max() < 1e-8
    metres = variogram(lag, value)
    direct = fit_variogram(metres, "exponential", lag_metric="great_circle", max_lag=3000.0)
    assert direct.lag.max() <= 3000
    expected = curve(
        direct.lag,
        direct.nugget,
        ("exponential", direct.partial_sill, direct.scale, None),
    )
    np.testing.assert_allclose(direct(direct.lag), expected)


def test_thin_bins_are_left_out_unless_too_few_remain():
    value = curve(LAG, 0.1, ("exponential", 1.0, 300.0, None))
    count = np.full(len(LAG), 30)
    count[3] = 29
    assert LAG[3] not in fit_variogram(variogram(LAG, value, pair_count=count)).lag
    count[:] = 5
    count[:2] = 100
    thin = fit_variogram(variogram(LAG, value, pair_count=count, metric="euclidean"))
    assert len(thin.lag) == len(LAG)
    with pytest.raises(DataError, match="within lag 1"):
        fit_variogram(variogram(LAG, value), max_lag=1.0)


def test_weights_by_name():
    error = np.full(len(LAG), 0.1)
    error[[0, 1]] = [math.nan, 0.0]
    data = variogram(
        LAG, np.full(len(LAG), 2.0), pair_count=np.arange(1, 25) * 50, standard_error=error
    )
    count = np.arange(1.0, 25) * 50
    np.testing.assert_array_equal(bin_weights(data, "n"), count)
    np.testing.assert_array_equal(bin_weights(data, "n/gamma2"), count)
    np.testing.assert_allclose(bin_weights(data, "n/h2"), count / LAG**2)
    np.testing.assert_array_equal(bin_weights(data, "none"), np.ones(24))
    # no standard error: no weight; one below 1 % of the semivariance counts as that
    expected = np.full(24, 100.0)
    expected[[0, 1]] = [0.0, 2500.0]
    np.testing.assert_allclose(bin_weights(data, "jackknife"), expected)
    plain = variogram(LAG, np.ones(24))
    with pytest.raises(ConfigError, match="groups"):
        fit_variogram(plain, weights="jackknife")
    with pytest.raises((ConfigError, TypeError), match="n/gamma2"):
        bin_weights(plain, "pairs")


def test_weighted_bins_count_more():
    value = curve(LAG, 0.1, ("exponential", 1.0, 300.0, None))
    value[-6:] += 0.5
    error = np.full(len(LAG), 0.01)
    error[-6:] = 10.0
    data = variogram(LAG, value, standard_error=error, metric="euclidean")
    trusting = fit_variogram(data, "exponential", weights="none")
    careful = fit_variogram(data, "exponential", weights="jackknife")
    assert careful.scale == pytest.approx(300, rel=0.01)
    assert trusting.scale > 400


def test_the_best_model_by_akaike():
    rng = np.random.default_rng(2)
    chord = model_lag(torch.from_numpy(LAG), "chord", "km").numpy()
    truth = curve(chord, 0.05, ("spherical", 1.0, 900.0, None))
    data = variogram(LAG, truth * (1 + 0.01 * rng.standard_normal(24)))
    fits = fit_best(data)
    assert fits[0].model == "spherical"
    assert [each.aic for each in fits] == sorted(each.aic for each in fits)
    assert fits[-1].model == "nugget"
    best = fits[0]
    assert best.r2 > 0.99
    count, sse = len(best.lag), (best.weight * best.residual**2).sum()
    assert best.sse == pytest.approx(sse, rel=1e-9)
    expected = count * math.log(sse / count) - np.log(best.weight).sum() + 2 * 3
    assert best.aic == pytest.approx(expected)
    with pytest.raises(ConfigError, match="no model"):
        fit_best(data, [])


@pytest.mark.parametrize(
    ("value", "model", "flags"),
    [
        (np.ones(24), "exponential", {"no_structure"}),
        (np.linspace(2, 1, 24), "exponential", {"no_structure"}),
        (curve(LAG, 0.0, ("gaussian", 1.0, 300.0, None)), "exponential", {"nugget_at_zero"}),
        (curve(LAG, 0.1, ("exponential", 1.0, 300.0, None)), "exponential", set()),
        (0.1 + LAG, "spherical", {"range_beyond_data"}),
        (curve(LAG, 0.1, ("exponential", 1.0, 0.8, None)), "exponential", {"range_below_data"}),
        (curve(LAG, 0.1, ("gaussian", 1.0, 300.0, None)), "stable", {"shape_at_bound"}),
        (curve(LAG, 0.1, ("gaussian", 1.0, 300.0, None)), "nugget", {"no_structure"}),
    ],
)
def test_flags(value, model, flags):
    found = fit_variogram(variogram(LAG, value, metric="euclidean"), model)
    assert flags <= set(found.flags)
    if "no_structure" not in flags:
        assert set(found.flags) <= flags
    assert found.has_structure == ("no_structure" not in flags)


def test_noise_has_no_structure():
    rng = np.random.default_rng(5)
    value = 1 + 0.05 * rng.standard_normal(24)
    assert "no_structure" in fit_variogram(variogram(LAG, value), "exponential").flags
    short = variogram(LAG[:3], curve(LAG[:3], 0.1, ("exponential", 1.0, 10.0, None)))
    assert "no_structure" in fit_variogram(short, "exponential").flags


def test_models_without_a_covariance_are_flagged():
    data = variogram(LAG, curve(LAG, 0.1, ("gaussian", 1.0, 3000.0, None)))
    direct = fit_variogram(data, "gaussian", lag_metric="great_circle")
    assert "model_invalid_on_great_circle" in direct.flags
    assert not direct.valid
    chord = fit_variogram(data, "gaussian")
    assert "model_invalid_on_great_circle" not in chord.flags
    assert chord.valid
    with pytest.raises(ConfigError, match="lag_metric"):
        fit_variogram(data, lag_metric="euclidean")


@pytest.mark.parametrize("weights", ["n", "n/h2", "n/gamma2", "none"])
def test_a_curve_of_zeros_has_no_structure(weights):
    fit = fit_variogram(variogram(LAG, np.zeros_like(LAG)), weights=weights)
    assert fit.sill == fit.effective_range == fit.practical_range == 0.0
    assert "no_structure" in fit.flags
    assert math.isfinite(fit.aic)


def test_negative_curves_are_refused():
    value = np.linspace(0.5, -0.2, len(LAG))
    with pytest.raises(DataError, match="negative"):
        fit_variogram(variogram(LAG, value))


def test_the_practical_range_is_that_of_the_structure_alone():
    for nugget in (0.0, 0.3, 0.9):
        value = curve(LAG, nugget, ("exponential", 1.0, 300.0, None))
        fit = fit_variogram(variogram(LAG, value), "exponential", lag_metric="great_circle")
        assert fit.practical_range == pytest.approx(300.0 * math.log(20), rel=1e-3)
        assert float(fit(fit.effective_range)) == pytest.approx(0.95 * fit.sill, rel=1e-9)
        assert (fit.effective_range < fit.practical_range) == (nugget > 0)
