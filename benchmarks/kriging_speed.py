"""Kriging here, in PyKrige and in GSTools: the same model, data and targets, CPU time in one run.

    python benchmarks/kriging_speed.py

Values at N random places of a square, exponential model with a nugget; on the sphere great circles
for lags, as PyKrige has them. Estimates and variances of all methods must agree to 1e-6 before
anything is printed. Methods take turns in one process of one thread; of several repeats the least
counts. Where a method would need more memory or time than is at hand it gets fewer targets, and
its time is scaled to all of them: its set-up, timed apart with a single target, is counted once.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from geoloc.geodesy import EARTH_RADIUS_KM
from geoloc.geostatistics import VariogramFit, given_variogram, ordinary_kriging

NUGGET, PARTIAL_SILL = 0.2, 1.0
Answer = tuple[np.ndarray, np.ndarray]
Krige = Callable[[np.ndarray], Answer]


@dataclass(frozen=True, kw_only=True)
class Method:
    """A way to krige, and how many targets it is given."""

    name: str
    krige: Krige
    targets: int


def cpu_seconds(method: Method, targets: np.ndarray, repeats: int) -> tuple[float, Answer]:
    """The least CPU time for these targets, and the answers."""
    best = float("inf")
    for _ in range(repeats):
        gc.collect()
        start = time.process_time()
        answer = method.krige(targets)
        best = min(best, time.process_time() - start)
    return best, answer


def ours(places: np.ndarray, values: np.ndarray, fit: VariogramFit, k: int | None) -> Krige:
    def krige(targets: np.ndarray) -> Answer:
        kriged = ordinary_kriging(places, values, targets, fit, neighbours=k)
        return kriged.value.numpy(), kriged.variance.numpy()

    return krige


def pykrige(
    places: np.ndarray,
    values: np.ndarray,
    scale: float,
    *,
    k: int | None = None,
    kind: str = "euclidean",
    backend: str = "vectorized",
) -> Krige:
    from pykrige.ok import OrdinaryKriging

    def krige(targets: np.ndarray) -> Answer:
        # PyKrige's range is three scales, its coordinates are longitude first, its lags degrees
        on_earth = kind == "geographic"
        x, y = (places[:, 1], places[:, 0]) if on_earth else (places[:, 0], places[:, 1])
        to = (targets[:, 1] % 360.0, targets[:, 0]) if on_earth else (targets[:, 0], targets[:, 1])
        length = np.rad2deg(scale / EARTH_RADIUS_KM) if on_earth else scale
        model = OrdinaryKriging(
            x % 360.0 if on_earth else x,
            y,
            values,
            variogram_model="exponential",
            variogram_parameters={"psill": PARTIAL_SILL, "range": 3.0 * length, "nugget": NUGGET},
            coordinates_type=kind,
            exact_values=True,
        )
        value, variance = model.execute("points", *to, n_closest_points=k, backend=backend)
        return np.asarray(value), np.asarray(variance)

    return krige


def gstools(places: np.ndarray, values: np.ndarray, scale: float) -> Krige:
    import gstools as gs

    def krige(targets: np.ndarray) -> Answer:
        model = gs.Exponential(dim=2, var=PARTIAL_SILL, len_scale=scale, nugget=NUGGET)
        method = gs.krige.Ordinary(
            model, cond_pos=places.T, cond_val=values, exact=True, pseudo_inv=False
        )
        value, variance = method(targets.T, return_var=True)
        return np.asarray(value), np.asarray(variance)

    return krige


def compare(title: str, methods: Sequence[Method], targets: np.ndarray, repeats: int) -> None:
    """Check that all agree, then print each method's time for all targets and its ratio."""
    count = min(each.targets for each in methods)
    taken: list[tuple[str, float, int]] = []
    reference: Answer | None = None
    for method in methods:
        seconds, answer = cpu_seconds(method, targets[: method.targets], repeats)
        reference = reference or answer
        for found, wanted in zip(answer, reference, strict=True):
            np.testing.assert_allclose(found[:count], wanted[:count], atol=1e-6, rtol=1e-6)
        if method.targets < len(targets):
            once, _ = cpu_seconds(method, targets[:1], repeats)
            each = max(seconds - once, 0.0) / (method.targets - 1)
            seconds = once + each * (len(targets) - 1)
        taken.append((method.name, seconds, method.targets))
    print(f"{title}, {len(targets):,} targets", flush=True)
    for name, seconds, given in taken:
        scaled = "" if given == len(targets) else f"  (scaled from {given:,} targets)"
        ratio = seconds / taken[0][1]
        print(f"  {name:10}{seconds:10.2f} s{ratio:9.2f} x{scaled}", flush=True)


PLANE = given_variogram(
    "exponential",
    nugget=NUGGET,
    partial_sill=PARTIAL_SILL,
    scale=0.1,
    unit="m",
    lag_metric="euclidean",
)


def in_a_square(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Places and values."""
    generator = np.random.default_rng(count)
    return generator.random((count, 2)), generator.normal(size=count)


def nearest(count: int, neighbours: Sequence[int], targets: np.ndarray, repeats: int) -> None:
    """Data in a square, each target from the nearest of them."""
    places, values = in_a_square(count)
    whole = len(targets)
    for k in neighbours:
        methods = [Method(name="geoloc", krige=ours(places, values, PLANE, k), targets=whole)]
        for backend, some in (("loop", 2_000), ("C", 50_000)):
            theirs = pykrige(places, values, 0.1, k=k, backend=backend)
            methods.append(
                Method(name=f"PyKrige {backend}", krige=theirs, targets=min(some, whole))
            )
        compare(f"plane, {count:,} data, {k} nearest", methods, targets, repeats)


def everything(count: int, targets: np.ndarray, repeats: int) -> None:
    """Data in a square, each target from all of them."""
    places, values = in_a_square(count)
    whole = len(targets)
    # n^2 operations a target for everyone, and matrices of data by targets for PyKrige
    few = min(10_000 if count <= 1_000 else 5_000, whole)
    methods = [
        Method(name="geoloc", krige=ours(places, values, PLANE, None), targets=few),
        Method(name="PyKrige", krige=pykrige(places, values, 0.1), targets=few),
    ]
    # with 10,000 data a target takes it a second
    seen = min(1_000 if count <= 1_000 else 20, whole)
    methods.append(Method(name="GSTools", krige=gstools(places, values, 0.1), targets=seen))
    compare(f"plane, {count:,} data, all", methods, targets, repeats)


def sphere(count: int, targets: np.ndarray, repeats: int) -> None:
    """Data all over the Earth between 60 S and 75 N, lags along great circles."""
    generator = np.random.default_rng(count)
    places = on_earth(generator.random((count, 2)))
    values = generator.normal(size=count)
    fit = given_variogram(
        "exponential",
        nugget=NUGGET,
        partial_sill=PARTIAL_SILL,
        scale=900.0,
        lag_metric="great_circle",
    )
    few = min(10_000 if count <= 1_000 else 5_000, len(targets))
    theirs = pykrige(places, values, 900.0, kind="geographic")
    methods = [
        Method(name="geoloc", krige=ours(places, values, fit, None), targets=few),
        Method(name="PyKrige", krige=theirs, targets=few),
    ]
    compare(f"sphere, {count:,} data, all", methods, on_earth(targets), repeats)


def on_earth(unit_square: np.ndarray) -> np.ndarray:
    """Places of the unit square spread between 60 S and 75 N."""
    return np.array([-60.0, -180.0]) + unit_square * np.array([135.0, 359.0])


def main() -> None:
    """Time every size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--targets", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--data", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--nearest", type=int, nargs="+", default=[32, 64])
    parser.add_argument(
        "--only", choices=("nearest", "all", "sphere"), nargs="+", help="of the three; all of them"
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    targets = np.random.default_rng(0).random((args.targets, 2))
    only = args.only or ("nearest", "all", "sphere")
    for count in args.data:
        if "nearest" in only:
            nearest(count, args.nearest, targets, args.repeats)
        if "all" in only:
            everything(count, targets, args.repeats)
        if "sphere" in only:
            sphere(count, targets, args.repeats)


if __name__ == "__main__":
    main()
