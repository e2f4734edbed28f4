"""ModelSpec: everything that decides on a model's architecture, as a value, and its building."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeVar

from geoloc.errors import ConfigError
from geoloc.models.dual_encoder import DualEncoder
from geoloc.models.image_encoder import ImageEncoder, ImageEncoderSpec
from geoloc.models.initialization import seeded
from geoloc.models.location_encoder import RELEASED_SIGMAS, LocationEncoder

SpecT = TypeVar("SpecT")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocationEncoderSpec:
    """Which location encoder to build.

    Attributes:
        sigmas: standard deviation of the frequencies, one a branch.
        hidden: width of the hidden layers.
        features: number of frequencies a branch.
    """

    sigmas: tuple[float, ...] = RELEASED_SIGMAS
    hidden: int = 1024
    features: int = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """Which dual encoder to build; the defaults are GeoCLIP's.

    Attributes:
        image_encoder: the backbone.
        location_encoder: the tower of places.
        embedding_dim: length of the common vectors.
        head_hidden: width of the image head's hidden layer.
        init_temperature: 1 / scale at the start.
        max_logit_scale: upper bound of the scale.
        init_logit_bias: of the number added to every logit; None has none.
        frozen_backbone: the backbone is not trained.
        cells: geocells that a head of its own names; None has no such head.
        seed: draws all initial weights.
    """

    image_encoder: ImageEncoderSpec = field(default_factory=ImageEncoderSpec)
    location_encoder: LocationEncoderSpec = field(default_factory=LocationEncoderSpec)
    embedding_dim: int = 512
    head_hidden: int = 768
    init_temperature: float = 0.07
    max_logit_scale: float = 100.0
    init_logit_bias: float | None = None
    frozen_backbone: bool = True
    cells: int | None = None
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        """The spec as a mapping that `json` can write."""
        mapping = asdict(self)
        mapping["location_encoder"]["sigmas"] = list(self.location_encoder.sigmas)
        mapping["image_encoder"]["preset"] = dict(self.image_encoder.preset)
        return mapping

    @classmethod
    def from_json(cls, mapping: Mapping[str, Any]) -> ModelSpec:
        """The spec that `to_json` wrote; absent keys take their defaults.

        Raises:
            ConfigError: a key is unknown.
        """
        values = dict(mapping)
        if "image_encoder" in values:
            values["image_encoder"] = _from_mapping(
                ImageEncoderSpec, values["image_encoder"], where="image_encoder"
            )
        if "location_encoder" in values:
            location = dict(values["location_encoder"])
            if "sigmas" in location:
                location["sigmas"] = tuple(float(sigma) for sigma in location["sigmas"])
            values["location_encoder"] = _from_mapping(
                LocationEncoderSpec, location, where="location_encoder"
            )
        return _from_mapping(cls, values, where="model")


def build_image_encoder(spec: ImageEncoderSpec) -> ImageEncoder:
    """The image encoder that the spec describes.

    Raises:
        ConfigError: there is no such kind, or it refuses the spec.
        CheckpointError: the weights cannot be had or do not fit.
    """
    # Imported where they are used: timm and open_clip take seconds.
    match spec.kind:
        case "open_clip":
            from geoloc.models import open_clip_encoder

            return open_clip_encoder.build_image_encoder(spec)
        case "timm":
            from geoloc.models import timm_encoder

            return timm_encoder.build_image_encoder(spec)
        case "conv":
            from geoloc.models import conv_encoder

            return conv_encoder.build_image_encoder(spec)
        case unknown:
            raise ConfigError(
                f"unknown kind of image encoder {unknown!r}; known: conv, open_clip, timm"
            )


def build_model(spec: ModelSpec) -> DualEncoder:
    """The model that the spec describes, on the CPU, with weights drawn under `spec.seed`.

    The same spec gives the same weights; torch's global generator is left as it was.

    Raises:
        ConfigError: an impossible value.
        CheckpointError: pretrained weights cannot be had or do not fit.
    """
    with seeded(spec.seed):
        # The heads come first, so that they do not depend on what the backbone draws.
        location_encoder = LocationEncoder(
            spec.location_encoder.sigmas,
            spec.embedding_dim,
            hidden=spec.location_encoder.hidden,
            features=spec.location_encoder.features,
        )
    with seeded(spec.seed + 1):
        image_encoder = build_image_encoder(spec.image_encoder)
    with seeded(spec.seed + 2):
        model = DualEncoder(
            image_encoder,
            location_encoder=location_encoder,
            embedding_dim=spec.embedding_dim,
            head_hidden=spec.head_hidden,
            init_temperature=spec.init_temperature,
            frozen_backbone=spec.frozen_backbone,
            max_logit_scale=spec.max_logit_scale,
            init_logit_bias=spec.init_logit_bias,
        )
    if spec.cells is not None:
        with seeded(spec.seed + 3):
            model.add_cell_head(spec.cells)
    return model


def _from_mapping(kind: type[SpecT], values: Mapping[str, Any], *, where: str) -> SpecT:
    known = {entry.name for entry in fields(kind)}  # pyright: ignore[reportArgumentType]
    unknown = sorted(set(values) - known)
    if unknown:
        raise ConfigError(f"{where}: unknown keys {unknown}; known: {sorted(known)}")
    return kind(**values)
