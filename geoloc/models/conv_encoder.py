"""A small residual convolutional network: an image encoder that needs no pretrained weights."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from geoloc.errors import ConfigError
from geoloc.models.fingerprint import fingerprint_tensors
from geoloc.models.image_encoder import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    ImageEncoderSpec,
    ImagePreset,
)
from geoloc.models.weight_files import load_strict, read_tensors

_GROUPS = 8


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with GroupNorm around a shortcut (pre-activation).

    Source: He et al. 2016, "Identity Mappings in Deep Residual Networks"; GroupNorm instead of
    BatchNorm (Wu, He 2018), so that no statistics depend on the batch.

    Args:
        channels_in: channels of the input.
        channels_out: channels of the output.
        stride: 2 halves the sides.
    """

    def __init__(self, channels_in: int, channels_out: int, *, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.GroupNorm(_GROUPS, channels_in),
            nn.ReLU(),
            nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False),
            nn.GroupNorm(_GROUPS, channels_out),
            nn.ReLU(),
            nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False),
        )
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut.append(nn.AvgPool2d(stride, ceil_mode=True))
        if channels_in != channels_out:
            self.shortcut.append(nn.Conv2d(channels_in, channels_out, 1, bias=False))

    def forward(
        self, images: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch channel_out height_out width_out"]:
        """The block's output."""
        return self.body(images) + self.shortcut(images)


class ConvEncoder(nn.Module):
    """Stem, four residual stages (widths w, 2w, 4w, 8w), mean over the image; about 1 M weights.

    Works at any size; meant for 64 to 128 pixels.

    Args:
        width: channels of the first stage, a multiple of 8; the feature is 8 times as long.
        size: side of the input in pixels.
        preset: how images are prepared; default ImageNet statistics at `size`.

    Raises:
        ConfigError: the width is not a positive multiple of 8.
    """

    def __init__(
        self, width: int = 32, size: int = 96, *, preset: ImagePreset | None = None
    ) -> None:
        super().__init__()
        if width < _GROUPS or width % _GROUPS:
            raise ConfigError(f"conv encoder: width must be a multiple of {_GROUPS}, not {width}")
        self.preset = preset or ImagePreset(size=size, mean=IMAGENET_MEAN, std=IMAGENET_STD)
        self.feature_dim = 8 * width
        self.stem = nn.Conv2d(3, width, 3, stride=2, padding=1, bias=False)
        self.stages = nn.Sequential(
            ResidualBlock(width, width, stride=1),
            ResidualBlock(width, 2 * width, stride=2),
            ResidualBlock(2 * width, 4 * width, stride=2),
            ResidualBlock(4 * width, 8 * width, stride=2),
        )
        self.final = nn.Sequential(nn.GroupNorm(_GROUPS, 8 * width), nn.ReLU())

    def forward(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch feature"]:
        """Mean over the image of the last stage."""
        return self.final(self.stages(self.stem(images))).mean(dim=(2, 3))

    def fingerprint(self) -> str:
        """Sha256 over preset and weights."""
        return fingerprint_tensors(self.state_dict(), label=f"conv {self.preset.to_json()}")


def build_image_encoder(spec: ImageEncoderSpec) -> ConvEncoder:
    """The encoder that a spec of kind ``"conv"`` describes; `weights` may be a file of ours."""
    size = spec.image_size or int(spec.preset.get("size", 96))
    default = ImagePreset(size=size, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    encoder = ConvEncoder(spec.width, size, preset=default.with_overrides(spec.preset))
    if spec.weights is not None:
        load_strict(encoder, read_tensors(spec.weights), source=spec.weights)
    return encoder
