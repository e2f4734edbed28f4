"""What an image encoder is (a Protocol), and how its images are to be prepared (ImagePreset)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, Protocol, get_args, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from geoloc.errors import ConfigError

Interpolation = Literal["bicubic", "bilinear", "nearest"]

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePreset:
    """How pixels are prepared: part of the model, stored with it, the same in training and query.

    The shorter side is resized to ``round(size / crop_fraction)`` pixels, the centre square of
    `size` is cut out, values in 0..1 are normalised by `mean` and `std` per channel (RGB).

    Attributes:
        size: side of the square that the encoder sees, in pixels.
        mean: subtracted per channel; the default is CLIP's (Radford et al. 2021, released code).
        std: divided by per channel.
        interpolation: resampling filter, antialiased.
        crop_fraction: share of the shorter side that the centre crop keeps, in (0, 1].
    """

    size: int = 224
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD
    interpolation: Interpolation = "bicubic"
    crop_fraction: float = 1.0

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ConfigError(f"image preset: size must be at least 1 pixel, not {self.size}")
        if min(self.std) <= 0:
            raise ConfigError(f"image preset: std must be above zero, not {self.std}")
        if self.interpolation not in get_args(Interpolation):
            known = ", ".join(get_args(Interpolation))
            raise ConfigError(
                f"image preset: unknown interpolation {self.interpolation!r}; known: {known}"
            )
        if not 0 < self.crop_fraction <= 1:
            raise ConfigError(
                f"image preset: crop_fraction must lie in (0, 1], not {self.crop_fraction}"
            )

    @property
    def resize_to(self) -> int:
        """Length of the shorter side before the centre crop, in pixels."""
        return round(self.size / self.crop_fraction)

    def to_json(self) -> dict[str, Any]:
        """The preset as a mapping that `json` can write."""
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}

    def with_overrides(self, overrides: Mapping[str, Any]) -> ImagePreset:
        """The preset with some fields replaced, given as `to_json` would write them.

        Raises:
            ConfigError: a key is unknown or a value impossible.
        """
        return ImagePreset.from_json({**self.to_json(), **overrides})

    @classmethod
    def from_json(cls, mapping: Mapping[str, Any]) -> ImagePreset:
        """The preset that `to_json` wrote; absent keys take their defaults.

        Raises:
            ConfigError: a key is unknown or a value impossible.
        """
        unknown = sorted(set(mapping) - {known.name for known in fields(cls)})
        if unknown:
            raise ConfigError(f"image preset: unknown keys {unknown}")
        values = dict(mapping)
        try:
            for name in ("mean", "std"):
                if name in values:
                    values[name] = _three_numbers(values[name], where=name)
            return cls(**values)
        except TypeError as error:
            raise ConfigError(f"image preset: a value has the wrong type: {error}") from error


def _three_numbers(values: Any, *, where: str) -> tuple[float, ...]:
    numbers = tuple(float(number) for number in values)
    if len(numbers) != 3:
        raise ConfigError(f"image preset: {where} needs three numbers, one a channel")
    return numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageEncoderSpec:
    """Which image encoder to build; a field that a kind has no use for is left at its default.

    A new kind is one module with ``build_image_encoder(spec)`` and one case in
    `geoloc.models.model_spec.build_image_encoder`.

    Attributes:
        kind: ``"open_clip"``, ``"timm"`` or ``"conv"``.
        name: the architecture's name in its library.
        weights: None (random), a hub tag such as ``"openai"`` or ``"imagenet"``, the path of a
            file, or ``"package:NAME"`` for weights that a Python package ships.
        preset: fields of `ImagePreset` that replace those the weights come with.
        image_size: side of the input in pixels where the architecture can vary it.
        width: number of channels of the narrowest stage (conv only).
    """

    kind: str = "open_clip"
    name: str = "ViT-L-14-quickgelu"
    weights: str | None = "openai"
    preset: Mapping[str, Any] = field(default_factory=dict[str, Any])
    image_size: int | None = None
    width: int = 32


@runtime_checkable
class ImageEncoder(Protocol):
    """An `nn.Module` from prepared pixels to one feature vector an image, not normalised.

    Attributes:
        feature_dim: length of the feature vector.
        preset: how the pixels must have been prepared.
    """

    feature_dim: int
    preset: ImagePreset

    def fingerprint(self) -> str:
        """Sha256 over the encoder's weights: equal weights, equal fingerprint."""
        ...

    def __call__(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch feature"]:
        """Features of a batch of prepared images."""
        ...
