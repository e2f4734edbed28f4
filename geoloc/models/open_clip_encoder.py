"""The image tower of CLIP models through open_clip: projected features, not normalised."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from geoloc.errors import CheckpointError, ConfigError
from geoloc.models.clip_files import visual_state
from geoloc.models.fingerprint import fingerprint_tensors
from geoloc.models.image_encoder import ImageEncoderSpec, ImagePreset
from geoloc.models.torchvision_compat import declare_missing_operators
from geoloc.models.weight_files import is_file_reference, load_strict, read_tensors

DEFAULT_NAME = "ViT-L-14-quickgelu"
DEFAULT_WEIGHTS = "openai"


class OpenClipEncoder(nn.Module):
    """The visual tower of an open_clip model; the text tower is dropped (see `text_tower`).

    Args:
        name: open_clip's name of the model. OpenAI's weights need a ``-quickgelu`` one.
        weights: None (random), one of open_clip's tags for the model, or a file: a whole CLIP or
            its visual tower, in open_clip's or Hugging Face's names.
        preset: fields of `ImagePreset` that replace those of the weights.
        image_size: input side, where it differs from the model's own.

    Raises:
        ConfigError: open_clip does not know the name, or the tag needs another activation.
        CheckpointError: the weights cannot be had or do not fit.
    """

    def __init__(
        self,
        name: str = DEFAULT_NAME,
        weights: str | None = DEFAULT_WEIGHTS,
        *,
        preset: Mapping[str, Any] | None = None,
        image_size: int | None = None,
    ) -> None:
        super().__init__()
        self.name, self.weights, self.image_size = name, weights, image_size
        file = weights if weights is not None and is_file_reference(weights) else None
        model = create_clip(name, None if file else weights, image_size)
        self.visual: nn.Module = model.visual
        self.preset = _preset(model.visual.preprocess_cfg).with_overrides(preset or {})
        self.feature_dim = int(model.visual.output_dim)
        if file is not None:
            load_strict(self.visual, visual_state(read_tensors(file)), source=file)

    def forward(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch feature"]:
        """Projected features, as CLIP compares them with text (before normalisation)."""
        return self.visual(images)

    def fingerprint(self) -> str:
        """Sha256 over architecture, preset and weights."""
        label = f"open_clip {self.name} {self.preset.to_json()}"
        return fingerprint_tensors(self.visual.state_dict(), label=label)


def build_image_encoder(spec: ImageEncoderSpec) -> OpenClipEncoder:
    """The encoder that a spec of kind ``"open_clip"`` describes."""
    return OpenClipEncoder(spec.name, spec.weights, preset=spec.preset, image_size=spec.image_size)


def create_clip(name: str, tag: str | None, image_size: int | None) -> Any:
    """A whole CLIP of open_clip, with the weights of a tag or random ones.

    Raises:
        ConfigError: open_clip does not know the name, or the tag needs another activation.
        CheckpointError: the weights cannot be had.
    """
    declare_missing_operators()
    import open_clip

    if open_clip.get_model_config(name) is None:
        raise ConfigError(f"open_clip knows no model {name!r}; see open_clip.list_models()")
    tags = open_clip.list_pretrained_tags_by_model(name)
    if tag is not None and tag not in tags:
        raise ConfigError(f"open_clip has no weights {tag!r} for {name}; it has {', '.join(tags)}")
    with quiet_logging(), warnings.catch_warnings():
        warnings.filterwarnings("error", message="QuickGELU mismatch")
        try:
            return open_clip.create_model(name, pretrained=tag, force_image_size=image_size)
        except UserWarning as warning:
            raise ConfigError(
                f"{warning} Name the model with (or without) '-quickgelu', as the weights need"
            ) from warning
        except Exception as error:
            if tag is None:
                raise
            reason = str(error).strip().split("\n")[0]
            raise CheckpointError(
                f"open_clip weights {tag!r} of {name} could not be had from the hub ({reason}); "
                "go online once, or give the path of a downloaded file as weights"
            ) from error


def _preset(config: Mapping[str, Any]) -> ImagePreset:
    size = config["size"]
    return ImagePreset(
        size=int(size if isinstance(size, int) else max(size)),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        interpolation="bilinear" if config["interpolation"] == "bilinear" else "bicubic",
    )


@contextmanager
def quiet_logging() -> Generator[None]:
    """Keep open_clip from the root logger."""
    # open_clip logs through the root logger; without a handler that would install one for good.
    root = logging.getLogger()
    before = root.disabled
    silent = logging.NullHandler()
    root.addHandler(silent)
    root.disabled = True
    try:
        yield
    finally:
        root.disabled = before
        root.removeHandler(silent)
