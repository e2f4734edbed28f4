"""Image encoders of timm, pooled features without a classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from geoloc.errors import CheckpointError, ConfigError
from geoloc.models import efficientnet_lite
from geoloc.models.fingerprint import fingerprint_tensors
from geoloc.models.image_encoder import ImageEncoderSpec, ImagePreset
from geoloc.models.torchvision_compat import declare_missing_operators
from geoloc.models.weight_files import is_file_reference, load_strict, read_tensors

DEFAULT_TAG = "imagenet"
LITE0_PACKAGE = "package:efficientnet-lite0"


class TimmEncoder(nn.Module):
    """A timm model without its classifier, and the preset that its weights were trained with.

    Args:
        name: timm's name of the architecture, such as ``"tf_efficientnet_lite0"``.
        weights: None (random), ``"imagenet"`` (timm's default weights, from the hub), another of
            timm's tags for this architecture, a file, or ``"package:efficientnet-lite0"``.
        preset: fields of `ImagePreset` that replace timm's.
        image_size: input side for architectures of fixed size (vision transformers).

    Raises:
        ConfigError: timm does not know the architecture, or it does not fit the package.
        CheckpointError: the weights cannot be had or do not fit.
    """

    def __init__(
        self,
        name: str,
        weights: str | None = None,
        *,
        preset: Mapping[str, Any] | None = None,
        image_size: int | None = None,
    ) -> None:
        super().__init__()
        self.name = name
        self.model: nn.Module = _create(name, weights, image_size)
        model: Any = self.model
        self.feature_dim = int(getattr(model, "head_hidden_size", None) or model.num_features)
        self.preset = _preset(model.pretrained_cfg, image_size).with_overrides(preset or {})
        if weights == LITE0_PACKAGE:
            if name != efficientnet_lite.TIMM_NAME:
                raise ConfigError(
                    f"{LITE0_PACKAGE} holds weights of {efficientnet_lite.TIMM_NAME}, not {name}"
                )
            file = efficientnet_lite.package_file()
            self._load(efficientnet_lite.timm_state(read_tensors(file)), source=str(file))
        elif weights is not None and is_file_reference(weights):
            self._load(read_tensors(weights), source=weights)

    def forward(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch feature"]:
        """Pooled features."""
        return self.model(images)

    def fingerprint(self) -> str:
        """Sha256 over architecture, preset and weights."""
        label = f"timm {self.name} {self.preset.to_json()}"
        return fingerprint_tensors(self.model.state_dict(), label=label)

    def _load(self, state: Mapping[str, Tensor], *, source: str) -> None:
        model: Any = self.model
        heads = model.pretrained_cfg.get("classifier") or ()
        prefixes = tuple(f"{head}." for head in ([heads] if isinstance(heads, str) else heads))
        kept = {key: value for key, value in state.items() if not key.startswith(prefixes)}
        load_strict(self.model, kept, source=source)


def build_image_encoder(spec: ImageEncoderSpec) -> TimmEncoder:
    """The encoder that a spec of kind ``"timm"`` describes."""
    return TimmEncoder(spec.name, spec.weights, preset=spec.preset, image_size=spec.image_size)


def _create(name: str, weights: str | None, image_size: int | None) -> nn.Module:
    declare_missing_operators()
    import timm

    if not timm.is_model(name):
        raise ConfigError(f"timm knows no architecture {name!r}; see timm.list_models()")
    from_hub = weights is not None and weights != LITE0_PACKAGE and not is_file_reference(weights)
    full_name = name if not from_hub or weights == DEFAULT_TAG else f"{name}.{weights}"
    options: dict[str, Any] = {}
    config = timm.get_pretrained_cfg(name)
    if image_size is not None and config is not None and config.fixed_input_size:
        options["img_size"] = image_size
    try:
        return timm.create_model(full_name, pretrained=from_hub, num_classes=0, **options)
    except Exception as error:
        if not from_hub:
            raise
        reason = str(error).strip().split("\n")[0]
        raise CheckpointError(
            f"timm weights {weights!r} of {name} could not be had from the hub ({reason}); go "
            "online once, or give the path of a downloaded file as weights"
        ) from error


def _preset(config: Mapping[str, Any], image_size: int | None) -> ImagePreset:
    return ImagePreset(
        size=image_size or int(config["input_size"][-1]),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        interpolation=config["interpolation"],
        crop_fraction=float(config["crop_pct"]),
    )
