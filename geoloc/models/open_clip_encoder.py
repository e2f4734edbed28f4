"""The image tower of CLIP models through open_clip: projected features, not normalised."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
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
        tower = _image_tower(name, weights, image_size)
        self.visual: nn.Module = tower
        self.preset = _preset(tower.preprocess_cfg).with_overrides(preset or {})
        self.feature_dim = int(tower.output_dim)

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


def _image_tower(name: str, weights: str | None, image_size: int | None) -> Any:
    """The image tower. Where a file has the weights, nothing else is built, and nothing drawn."""
    file, tag = (weights, None) if weights and is_file_reference(weights) else (None, weights)
    if tag is not None:
        file = _tag_file(name, tag, image_size)
    if file is None:
        return create_clip(name, tag, image_size).visual
    tower = create_clip(name, None, image_size, empty=True).visual
    empty = next(tower.parameters()).is_meta
    load_strict(tower, visual_state(read_tensors(file)), source=file, assign=empty)
    if tag is not None:
        _take_settings(tower.preprocess_cfg, name, tag)
    return tower


def _tag_file(name: str, tag: str, image_size: int | None) -> str | None:
    """The file of a tag, fetched if need be; None where open_clip must read it itself.

    It then resizes positions to another image size, converts another format, or refuses.
    """
    import open_clip

    config, about = _known(name), open_clip.get_pretrained_cfg(name, tag)
    same = bool(about.get("quick_gelu")) == bool(config.get("quick_gelu"))
    if not about or not same or image_size is not None:
        return None
    with quiet_logging(), _told_apart(name, tag):
        file = open_clip.download_pretrained(about)
    return file if file.endswith(".safetensors") else None


def _take_settings(preprocess: dict[str, Any], name: str, tag: str) -> None:
    import open_clip

    about = open_clip.get_pretrained_cfg(name, tag)
    preprocess.update({key: about[key] for key in preprocess if key in about and key != "size"})


def create_clip(name: str, tag: str | None, image_size: int | None, *, empty: bool = False) -> Any:
    """A whole CLIP of open_clip, with the weights of a tag or random ones.

    Args:
        name: open_clip's name of the model.
        tag: of the weights; None draws random ones.
        image_size: input side, where it differs from the model's own.
        empty: without weights at all (on the device ``meta``), in no time, if the architecture
            can be built so; they are to be loaded with ``assign=True``.

    Raises:
        ConfigError: open_clip does not know the name, or the tag needs another activation.
        CheckpointError: the weights cannot be had.
    """
    config = _known(name)
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(name)
    if tag is not None and tag not in tags:
        raise ConfigError(f"open_clip has no weights {tag!r} for {name}; it has {', '.join(tags)}")
    # timm's towers read numbers back while they are built, and keep tensors that no file has.
    bare = empty and not config["vision_cfg"].get("timm_model_name")
    device = torch.device("meta" if bare else "cpu")
    with quiet_logging(), warnings.catch_warnings(), _told_apart(name, tag), device:
        warnings.filterwarnings("error", message="QuickGELU mismatch")
        return open_clip.create_model(
            name, pretrained=tag, force_image_size=image_size, device=device
        )


def _known(name: str) -> dict[str, Any]:
    """open_clip's description of a model.

    Raises:
        ConfigError: it has none of that name.
    """
    declare_missing_operators()
    import open_clip

    config: dict[str, Any] | None = open_clip.get_model_config(name)
    if config is None:
        raise ConfigError(f"open_clip knows no model {name!r}; see open_clip.list_models()")
    return config


@contextmanager
def _told_apart(name: str, tag: str | None) -> Generator[None]:
    """What open_clip raises on the way to a tag's weights, as errors of ours."""
    try:
        yield
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
