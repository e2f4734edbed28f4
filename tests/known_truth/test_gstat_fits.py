"""Our fits against those of R's gstat on the meuse data, and formulas against its values.

The figures are those that R 4.2 with gstat 2.1-0 prints for `variogram(log(zinc) ~ 1, meuse)`,
`fit.variogram` and `variogramLine`.
"""

import math

import numpy as np
import pytest
import torch

from geoloc.geostatistics.fitting import fit_variogram
from geoloc.geostatistics.lags import LagBins
from geoloc.geostatistics.models import structure
from geoloc.geostatistics.variogram import Variogram

PAIRS = [57, 299, 419, 457, 547, 533, 574, 564, 589, 543, 500, 477, 452, 457, 415]
LAG = [
    *(79.2924374558, 163.9736655589, 267.3648276703, 372.7354223908, 478.4766950471),
    *(585.3405810954, 693.1452555425, 796.1836488513, 903.1464983003, 1011.2917733909),
    *(1117.8623455182, 1221.3280987660, 1329.1640650698, 1437.2562032833, 1543.2024819997),
]
SEMIVARIANCE = [
    *(0.123447934906, 0.216218485297, 0.302785875595, 0.412144760382, 0.463412786178),
    *(0.564693270655, 0.568968263208, 0.618676858688, 0.647147887486, 0.691570488112),
    *(0.703398350536, 0.603877036499, 0.651715776235, 0.566531778306, 0.574822734068),
]
MEUSE = Variogram(
    bins=LagBins.even(15, 1596.6226159546213, unit="m"),
    bin=np.arange(15),
    lag=np.array(LAG),
    semivariance=np.array(SEMIVARIANCE),
    spread=np.full(15, math.nan),
    pair_count=np.array(PAIRS),
    standard_error=np.full(15, math.nan),
    dissimilarity="squared",
    metric="euclidean",
)

# model, shape, weights, R's nugget, partial sill, scale and SSErr
CONVERGED = [
    ("spherical", None, "n", 0.0651233467415, 0.5711072948, 911.036340891, 9.21548476497),
    ("spherical", None, "none", 0.0533673722457, 0.579440141171, 890.169386184, 0.0191940306492),
    ("spherical", None, "n/h2", 0.0506624268192, 0.59060780221, 897.020909797, 9.01119439893e-06),
    ("exponential", None, "n", 0.0, 0.662493520096, 355.812561923, 14.8205039252),
    ("exponential", None, "none", 0.0, 0.658736821308, 357.90287336, 0.0310831916293),
    ("exponential", None, "n/h2", 0.0, 0.71865258039, 449.758002536, 1.62832753721e-05),
    ("matern", 0.3, "n/h2", 0.0, 1.04494152644, 1740.2379583, 5.3876953346e-05),
    ("matern", 0.5, "n/h2", 0.0, 0.718652599136, 449.758025138, 1.62832753718e-05),
    ("matern", 1.0, "n/h2", 0.0744509416322, 0.603648538083, 265.897286738, 1.13675901378e-05),
    ("matern", 1.5, "n/h2", 0.0950637099114, 0.567350964778, 201.193115736, 1.09812381691e-05),
    ("matern", 2.5, "n/h2", 0.108914640738, 0.540160084063, 145.477147171, 1.21826239614e-05),
    ("stable", 1.0, "n/h2", 0.0, 0.718652599136, 449.758025138, 1.62832753718e-05),
    ("stable", 1.5, "n/h2", 0.0844497194692, 0.570187243356, 421.29948457, 1.00835175369e-05),
]
STOPPED_EARLY = [
    ("gaussian", None, "n", 0.202579692899, 0.428961209197, 492.830262237, 11.4898511591),
    ("gaussian", None, "none", 0.148703996965, 0.477718336219, 457.199444285, 0.0233269017795),
    ("gaussian", None, "n/h2", 0.116788480286, 0.49747164853, 386.534747348, 1.91506966205e-05),
    ("stable", 0.5, "n/h2", 0.0, 16.3163370404, 487906.443116, 0.000236516512544),
]
# R prints SSErr under weights that it made before its last step; parameters only are compared
REWEIGHTED = [
    ("spherical", 0.0603145574205, 0.575650216481, 904.309751154),
    ("exponential", 0.0, 0.675239803323, 390.079166063),
    ("gaussian", 0.180410432927, 0.45046790337, 431.794504624),
]


def theirs(model, shape, nugget, partial_sill, scale):
    """R's curve at the lags of the bins."""
    t = torch.tensor(LAG, dtype=torch.float64) / scale
    return nugget + partial_sill * structure(model, t, shape).numpy()


@pytest.mark.parametrize(
    ("model", "shape", "weights", "nugget", "partial_sill", "scale", "square"),
    CONVERGED + STOPPED_EARLY,
)
def test_our_objective_is_never_above_that_of_gstat(
    model, shape, weights, nugget, partial_sill, scale, square
):
    fit = fit_variogram(MEUSE, model, weights=weights, shape=shape)
    assert fit.sse <= square * (1 + 1e-9)
    curve = theirs(model, shape, nugget, partial_sill, scale)
    ours = (fit.weight * (fit.semivariance - curve) ** 2).sum()
    # R's parameters under our weights: they are R's weights
    assert ours == pytest.approx(square, rel=1e-6)


@pytest.mark.parametrize(
    ("model", "shape", "weights", "nugget", "partial_sill", "scale", "square"), CONVERGED
)
def test_parameters_are_those_of_gstat_where_it_converged(
    model, shape, weights, nugget, partial_sill, scale, square
):
    fit = fit_variogram(MEUSE, model, weights=weights, shape=shape)
    assert fit.nugget == pytest.approx(nugget, rel=1e-3, abs=1e-9)
    assert fit.partial_sill == pytest.approx(partial_sill, rel=1e-3)
    assert fit.scale == pytest.approx(scale, rel=1e-3)
    assert fit.sse == pytest.approx(square, rel=1e-6)


def test_the_true_optimum_of_the_gaussian_that_gstat_stops_short_of():
    fit = fit_variogram(MEUSE, "gaussian", weights="n/h2")
    assert fit.sse == pytest.approx(1.76155e-05, rel=1e-4)
    assert fit.scale == pytest.approx(411.438, rel=1e-3)
    assert fit.nugget == pytest.approx(0.124357, rel=1e-2)


@pytest.mark.parametrize("model", ["stable", "matern"])
def test_free_shapes_beat_every_fixed_one(model):
    for weights in ("n/h2", "n", "none"):
        free = fit_variogram(MEUSE, model, weights=weights).sse
        for shape in (0.3, 0.5, 1.0, 1.5, 2.0):
            assert free <= fit_variogram(MEUSE, model, weights=weights, shape=shape).sse


@pytest.mark.parametrize(("model", "nugget", "partial_sill", "scale"), REWEIGHTED)
def test_weights_by_the_squared_model_come_close_to_gstats(model, nugget, partial_sill, scale):
    """R stops before its weights have settled; ours are those of the fit itself."""
    fit = fit_variogram(MEUSE, model, weights="n/gamma2")
    np.testing.assert_allclose(fit.weight, np.array(PAIRS) / fit(fit.lag) ** 2, rtol=1e-6)
    curve = theirs(model, None, nugget, partial_sill, scale)
    assert fit.sse <= (fit.weight * (fit.semivariance - curve) ** 2).sum()
    assert fit.scale == pytest.approx(scale, rel=0.03)
    assert fit.sill == pytest.approx(nugget + partial_sill, rel=0.02)


@pytest.mark.parametrize(
    ("model", "shape", "values"),
    [
        ("spherical", None, [0.2495, 0.396, 0.7875, 1.1, 1.1, 1.1]),
        (
            "exponential",
            None,
            [0.195162581964, 0.281269246922, 0.493469340287, 0.732120558829, 0.964664716763],
        ),
        (
            "gaussian",
            None,
            [0.109950166251, 0.139210560848, 0.321199216929, 0.732120558829, 1.081684361111],
        ),
        (
            "matern",
            1.5,
            [0.104678840160, 0.117523096306, 0.190204010431, 0.364241117657, 0.693994150290],
        ),
        (
            "matern",
            2.5,
            [0.101662715434, 0.106606686265, 0.139659788788, 0.241614637267, 0.513547105975],
        ),
        (
            "matern",
            0.3,
            [0.336579911005, 0.451779262016, 0.669301146960, 0.863741672203, 1.022424002371],
        ),
        (
            "stable",
            0.5,
            [0.371106585890, 0.460592680838, 0.606931308605, 0.732120558829, 0.856883265566],
        ),
        (
            "stable",
            1.5,
            [0.131128005660, 0.185559356393, 0.397811498673, 0.732120558829, 1.040894253438],
        ),
    ],
)
def test_formulas_are_those_of_gstat(model, shape, values):
    """`variogramLine` at nugget 0.1, partial sill 1 and range 500."""
    lag = torch.tensor([50.0, 100.0, 250.0, 500.0, 1000.0, 1500.0], dtype=torch.float64)
    found = 0.1 + structure(model, lag[: len(values)] / 500, shape).numpy()
    np.testing.assert_allclose(found, values, atol=1e-9)


def test_chords_are_those_of_gstools():
    """Exponential of length 1000 km on a sphere of 6371 km, by GSTools 1.7."""
    lag = np.array([100.0, 1000.0, 10_000.0])
    count = 40
    grid = np.linspace(50, 9950, count)
    chord = 2 * 6371 * np.sin(grid / 2 / 6371)
    fit = fit_variogram(
        Variogram(
            bins=LagBins.even(count, 10_000.0),
            bin=np.arange(count),
            lag=grid,
            semivariance=1 - np.exp(-chord / 1000),
            spread=np.full(count, math.nan),
            pair_count=np.full(count, 1000),
            standard_error=np.full(count, math.nan),
        ),
        "exponential",
        nugget=False,
    )
    expected = [0.09516165311960123, 0.6317428403955516, 0.9998771589161809]
    np.testing.assert_allclose(fit(lag), expected, rtol=1e-7)
