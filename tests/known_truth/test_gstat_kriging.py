"""Our kriging against R's gstat on the meuse data.

The figures are those that R 4.2 with gstat 2.1-0 prints for `krige(log(zinc) ~ 1, ...)` with the
spherical model that it fits there, from all 155 samples and with nmax = 10.
"""

import pytest
import torch

from geoloc.geostatistics import given_variogram, ordinary_kriging

FIT = given_variogram(
    "spherical",
    nugget=0.0506624268192,
    partial_sill=0.59060780221,
    scale=897.020909797,
    unit="m",
    lag_metric="euclidean",
)
TARGETS = torch.tensor(
    [
        *([181180.0, 333740.0], [180580.0, 332500.0], [179660.0, 331860.0], [180260.0, 331300.0]),
        *([178820.0, 330740.0], [179660.0, 330340.0], [179180.0, 329820.0], [179220.0, 329620.0]),
    ],
    dtype=torch.float64,
)
VALUE = [
    *(6.49962408412581, 6.45944394897894, 5.56739265541451, 4.9584777419739),
    *(6.61763597100047, 5.31132109159621, 5.98871421944291, 6.42416093578098),
]
VARIANCE = [
    *(0.319808388556539, 0.135375445541054, 0.16399104378888, 0.191498064197043),
    *(0.162609686356619, 0.207088774404754, 0.159166728339176, 0.236779950472407),
]
VALUE_OF_10 = [
    *(6.59859422765, 6.46745898954, 5.55551457856, 4.85718577709),
    *(6.61292712507, 5.12103400355, 5.99680068909, 6.41830597702),
]
VARIANCE_OF_10 = [
    *(0.352374449798, 0.136273776248, 0.165473506198, 0.194184912331),
    *(0.164438358063, 0.214082820801, 0.159854914346, 0.246777386064),
]


def test_estimates_from_all_samples_are_gstats(meuse):
    places, log_zinc = meuse
    kriged = ordinary_kriging(places, log_zinc, TARGETS, FIT)
    assert kriged.value.tolist() == pytest.approx(VALUE, rel=1e-10)
    assert kriged.variance.tolist() == pytest.approx(VARIANCE, rel=1e-10)


def test_estimates_from_the_ten_nearest_samples_are_gstats(meuse):
    places, log_zinc = meuse
    kriged = ordinary_kriging(places, log_zinc, TARGETS, FIT, neighbours=10)
    assert kriged.value.tolist() == pytest.approx(VALUE_OF_10, rel=1e-10)
    assert kriged.variance.tolist() == pytest.approx(VARIANCE_OF_10, rel=1e-10)
