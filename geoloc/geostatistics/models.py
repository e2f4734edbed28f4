"""Models of spatial structure: how dissimilarity grows with lag over a scale."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import torch
from jaxtyping import Float64
from torch import Tensor

from geoloc.errors import ConfigError
from geoloc.geostatistics.matern import matern_structure

Shape: TypeAlias = float | Tensor | None

MAX_STRUCTURES = 2
"""Structures in one sum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A family of structures s(t) = 1 - rho(t), where rho is a correlation and t lag over scale.

    s is 0 at 0, never falls and tends to 1. Within the bounds of its shape each is valid in three
    dimensions, hence on the sphere with chords for lags.

    Attributes:
        name: what it is called.
        function: s of t and shape, as `structure` calls it.
        source: where the family is defined.
        shape_bounds: least and greatest shape, None for a family without one.
        default_shape: the shape taken where several structures are summed and none is given.
        great_circle_shape: the greatest shape that is valid with great circles for lags; infinite
            where that asks nothing of the shape, and 0 where no shape will do.
        compact: whether s reaches 1 at t = 1.
    """

    name: str
    function: Callable[[Tensor, Shape], Tensor]
    source: str
    shape_bounds: tuple[float, float] | None = None
    default_shape: float | None = None
    great_circle_shape: float = math.inf
    compact: bool = False

    @property
    def has_shape(self) -> bool:
        """Whether the family has a shape besides its scale."""
        return self.shape_bounds is not None

    def valid_on_great_circle(self, shape: float | None = None) -> bool:
        """Whether rho is a correlation on the sphere with great circles for lags.

        Whatever the scale, but for a compact family, whose scale must not exceed half the
        circumference. A family that fails here is still a correlation at small scales, in effect:
        below 0.05 radian no negative coefficient could be measured.

        Args:
            shape: of the structure; without effect where the family has none.

        Source: T. Gneiting, "Strictly and non-strictly positive definite functions on spheres",
        Bernoulli 19, 2013, section 4.4 and table 1.
        """
        return (shape if self.has_shape and shape is not None else 1.0) <= self.great_circle_shape

    def valid_on_chord(self, shape: float | None = None) -> bool:
        """Whether rho is a correlation on the sphere with chords for lags: within the bounds.

        Source: M. I. Yadrenko, "Spectral Theory of Random Fields", 1983: what is valid in space is
        valid on a sphere in it.
        """
        if self.shape_bounds is None or shape is None:
            return True
        return 0 < shape <= self.shape_bounds[1]


def _spherical(t: Tensor, shape: Shape) -> Tensor:
    del shape
    t = t.clamp(max=1.0)
    return t * (1.5 - 0.5 * t * t)


def _cubic(t: Tensor, shape: Shape) -> Tensor:
    del shape
    t = t.clamp(max=1.0)
    square = t * t
    return square * (7 - t * (8.75 - square * (3.5 - 0.75 * square)))


def _exponential(t: Tensor, shape: Shape) -> Tensor:
    del shape
    return -torch.expm1(-t)


def _gaussian(t: Tensor, shape: Shape) -> Tensor:
    del shape
    return -torch.expm1(-t * t)


def _stable(t: Tensor, shape: Shape) -> Tensor:
    return -torch.expm1(-torch.pow(t, _needed(shape)))


def _matern(t: Tensor, shape: Shape) -> Tensor:
    return matern_structure(t, _needed(shape))


def _nugget(t: Tensor, shape: Shape) -> Tensor:
    del shape
    return (t > 0).to(t.dtype)


def _needed(shape: Shape) -> float | Tensor:
    if shape is None:
        raise ConfigError("a stable or matern structure needs a shape")
    return shape


_CHILES = "J.-P. Chiles, P. Delfiner, Geostatistics, 2nd ed., 2012, section 2.5.1"

MODELS: Mapping[str, Model] = MappingProxyType(
    {
        model.name: model
        for model in (
            Model(name="nugget", function=_nugget, source=_CHILES),
            Model(name="spherical", function=_spherical, source=_CHILES, compact=True),
            Model(name="cubic", function=_cubic, source=_CHILES, compact=True),
            Model(name="exponential", function=_exponential, source=_CHILES),
            Model(name="gaussian", function=_gaussian, source=_CHILES, great_circle_shape=0.0),
            Model(
                name="stable",
                function=_stable,
                source=f"{_CHILES}; called Exc in R's gstat",
                shape_bounds=(0.1, 2.0),
                default_shape=0.5,
                great_circle_shape=1.0,
            ),
            Model(
                name="matern",
                function=_matern,
                source="M. L. Stein, Interpolation of Spatial Data, 1999; called Mat in R's gstat",
                shape_bounds=(0.1, 5.0),
                default_shape=1.5,
                great_circle_shape=0.5,
            ),
        )
    }
)
"""The families by name; formulas and scales are those of R's gstat."""


def structure(
    name: str,
    t: Float64[Tensor, "*#batch"],
    shape: float | Float64[Tensor, "*#batch"] | None = None,
) -> Float64[Tensor, "*batch"]:
    """s(t) of a family, for lags `t` in scales.

    Spherical 1.5 t - 0.5 t^3 and cubic 7 t^2 - 8.75 t^3 + 3.5 t^5 - 0.75 t^7, both 1 from t = 1 on;
    exponential 1 - exp(-t); gaussian 1 - exp(-t^2); stable 1 - exp(-t^shape); matern as
    `matern_structure`; nugget 1 for every t above 0.

    Args:
        name: of one family.
        t: lag over scale, at least 0.
        shape: as the family needs one.

    Raises:
        ConfigError: the name is unknown, or a shape is missing.
    """
    return named_model(name).function(t, shape)


def named_model(name: str) -> Model:
    """The family of that name.

    Raises:
        ConfigError: there is none; the message lists those there are.
    """
    if name not in MODELS:
        raise ConfigError(f"there is no model {name!r}: one of {', '.join(MODELS)}, or a sum (+)")
    return MODELS[name]


def split_sum(model: str) -> tuple[bool, tuple[Model, ...]]:
    """Whether a sum such as ``"nugget+exponential+spherical"`` names a nugget, and its structures.

    Raises:
        ConfigError: a name is unknown, or there are more than two structures.
    """
    named = [named_model(name.strip()) for name in model.split("+")]
    structures = tuple(each for each in named if each.name != "nugget")
    if len(structures) > MAX_STRUCTURES:
        raise ConfigError(f"{model!r} has {len(structures)} structures; {MAX_STRUCTURES} at most")
    return len(structures) < len(named), structures


def fixed_shapes(structures: tuple[Model, ...], shape: float | None) -> tuple[float | None, ...]:
    """The shape of each structure that is not to be fitted; None where it is, or there is none.

    The shape of a single structure is fitted where none is given; those of a sum stand at their
    defaults, since curves cannot tell two shapes and two scales apart.

    Raises:
        ConfigError: a shape is given that is out of bounds, or that no structure has.
    """
    shaped = [each for each in structures if each.has_shape]
    if shape is not None and not shaped:
        raise ConfigError(f"shape {shape}: none of the structures has a shape")
    for each in shaped:
        low, high = each.shape_bounds or (0.0, 0.0)
        if shape is not None and not low <= shape <= high:
            raise ConfigError(f"shape {shape}: that of {each.name} lies in [{low}, {high}]")
    chosen = [each.default_shape if shape is None else float(shape) for each in structures]
    if shape is None and len(structures) == 1:
        return (None,)
    return tuple(
        value if each.has_shape else None for each, value in zip(structures, chosen, strict=True)
    )
