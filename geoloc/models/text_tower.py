"""The text tower of a CLIP model: captions as vectors of the space of its image features."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geoloc.errors import CheckpointError, ConfigError, MismatchError
from geoloc.models.clip_files import whole_state
from geoloc.models.fingerprint import fingerprint_tensors
from geoloc.models.image_encoder import ImageEncoder
from geoloc.models.open_clip_encoder import OpenClipEncoder, create_clip, quiet_logging
from geoloc.models.weight_files import is_file_reference, load_strict, read_tensors


class TextTower(nn.Module):
    """Captions to vectors of the space in which the image tower of the same CLIP puts images.

    CLIP learns both towers for one space (Radford et al. 2021), so that a head trained on image
    features can be asked with text features too, as GeoCLIP shows (Vivanco Cepeda et al. 2023).
    Features are projected and, like the image features that the head knows, not normalised.

    Args:
        name: open_clip's name of the model.
        weights: one of open_clip's tags for it, or a file with the whole CLIP, in open_clip's or
            Hugging Face's names.
        image_size: input side of the image tower, where it differs from the model's own.

    Raises:
        ConfigError: open_clip does not know the name or the tag.
        CheckpointError: the weights cannot be had, do not fit, or hold no text tower.
    """

    def __init__(self, name: str, weights: str, *, image_size: int | None = None) -> None:
        super().__init__()
        import open_clip

        is_file = is_file_reference(weights)
        clip = create_clip(name, None if is_file else weights, image_size)
        if is_file:
            state = whole_state(read_tensors(weights))
            if not any(entry.endswith("token_embedding.weight") for entry in state):
                raise CheckpointError(
                    f"{weights} holds an image tower alone: give the file of the whole CLIP as "
                    "text_weights (--text-weights)"
                )
            load_strict(clip, state, source=weights)
        self.visual_fingerprint = fingerprint_tensors(clip.visual.state_dict(), label=name)
        # The image tower is only looked at, not kept.
        del clip.visual
        self.clip: Any = clip.eval().requires_grad_(False)
        with quiet_logging():
            self._tokenize = open_clip.get_tokenizer(name)

    @torch.no_grad()
    def encode(self, texts: Sequence[str]) -> Float[Tensor, "text feature"]:
        """Projected features, as CLIP compares them with images (before normalisation).

        Longer texts than the tower takes are cut off at its end (77 tokens in OpenAI's).

        Raises:
            ConfigError: there is no text, or an empty one.
        """
        if not texts or not all(text.strip() for text in texts):
            raise ConfigError("a text to search by may not be empty")
        device = next(self.clip.parameters()).device
        return self.clip.encode_text(self._tokenize(list(texts)).to(device)).float()


def text_tower(image_encoder: ImageEncoder, weights: str | Path | None = None) -> TextTower:
    """The text tower that belongs to an image encoder; loaded only here, when it is asked for.

    Args:
        image_encoder: of the model that shall be asked.
        weights: file of the whole CLIP; by default whence the image encoder has its weights.

    Raises:
        CheckpointError: the weights cannot be had, do not fit, or hold no text tower.
        ConfigError: the image encoder has no text tower, or its weights' origin is not known.
        MismatchError: the image tower beside this text tower is not the image encoder, as after
            fine-tuning; their spaces are then not the same.
    """
    if not isinstance(image_encoder, OpenClipEncoder):
        raise ConfigError(
            "a text can be asked only of a model whose backbone is a CLIP of open_clip; "
            f"this one's, {type(image_encoder).__name__}, has no text tower"
        )
    source = image_encoder.weights if weights is None else str(Path(weights).resolve())
    if source is None:
        raise ConfigError(
            f"the backbone {image_encoder.name} is kept with the model, without its text tower: "
            "give the file of the whole CLIP as text_weights (--text-weights)"
        )
    name = image_encoder.name
    tower = TextTower(name, source, image_size=image_encoder.image_size)
    mine = fingerprint_tensors(image_encoder.visual.state_dict(), label=name)
    if tower.visual_fingerprint != mine:
        raise MismatchError(
            f"the text tower of {source} belongs to another image tower than the model's: use the "
            "CLIP that the model was trained on; a fine-tuned backbone cannot be asked by text"
        )
    return tower
