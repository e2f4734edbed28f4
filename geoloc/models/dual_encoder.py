"""The dual encoder: images and places meet as unit vectors of one space."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from geoloc.batch import GeoBatch
from geoloc.errors import ConfigError
from geoloc.models.fingerprint import Stamp, fingerprint_tensors
from geoloc.models.image_encoder import ImageEncoder, ImagePreset
from geoloc.models.location_encoder import LocationEncoder
from geoloc.models.weight_files import load_strict

_BACKBONE = "image_encoder."


class DualEncoder(nn.Module):
    """An image encoder with a head, a location encoder and a learnable temperature.

    The similarity of an image and a place is ``scale() * embed(image) @ embed(place)``.

    Source: Vivanco Cepeda, Nayak, Shah 2023 (GeoCLIP), section 3.1; head 768, 768, 512.

    Args:
        image_encoder: the backbone, an `nn.Module` that meets the `ImageEncoder` protocol.
        location_encoder: places to vectors of length `embedding_dim`.
        embedding_dim: length of the common vectors.
        head_hidden: width of the image head's hidden layer.
        init_temperature: 1 / scale at the start.
        frozen_backbone: the backbone is never trained: no gradient, always in eval mode.
        max_logit_scale: upper bound of the scale (Radford et al. 2021, section 2.5).
        init_logit_bias: of a learned number added to every logit, which a sigmoid loss needs
            (-10 in Zhai et al. 2023, section 3.1); None has none.

    Raises:
        ConfigError: the location encoder's output is not `embedding_dim` long, or a number is
            not above zero.
    """

    image_encoder: ImageEncoder

    def __init__(
        self,
        image_encoder: ImageEncoder,
        *,
        location_encoder: LocationEncoder,
        embedding_dim: int = 512,
        head_hidden: int = 768,
        init_temperature: float = 0.07,
        frozen_backbone: bool = True,
        max_logit_scale: float = 100.0,
        init_logit_bias: float | None = None,
    ) -> None:
        super().__init__()
        if location_encoder.output_dim != embedding_dim:
            raise ConfigError(
                f"the location encoder gives vectors of {location_encoder.output_dim}, the image "
                f"head of {embedding_dim}: they must be equal"
            )
        if min(init_temperature, max_logit_scale) <= 0:
            raise ConfigError("init_temperature and max_logit_scale must be above zero")
        if not isinstance(image_encoder, nn.Module):
            raise TypeError("the image encoder must be an nn.Module")
        self.image_encoder = image_encoder
        self.mlp = nn.Sequential(
            nn.Linear(image_encoder.feature_dim, head_hidden),
            nn.ReLU(inplace=True),
            nn.Linear(head_hidden, embedding_dim),
        )
        self.location_encoder = location_encoder
        self.logit_scale = nn.Parameter(torch.tensor(-math.log(init_temperature)))
        self.logit_bias = (
            None if init_logit_bias is None else nn.Parameter(torch.tensor(init_logit_bias))
        )
        self.cell_head: nn.Linear | None = None
        self.embedding_dim = embedding_dim
        self.head_hidden = head_hidden
        self.frozen_backbone = frozen_backbone
        self.max_logit_scale = max_logit_scale
        self._fingerprinted: tuple[Stamp, str] | None = None
        if frozen_backbone:
            image_encoder.requires_grad_(False)
        self.train(self.training)

    @property
    def preset(self) -> ImagePreset:
        """How images must be prepared for this model."""
        return self.image_encoder.preset

    def backbone_features(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch feature"]:
        """Features of the backbone in float32; without gradient where it is frozen."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen_backbone):
            return self.image_encoder(images).float()

    def embed_features(
        self, feature: Float[Tensor, "batch feature"]
    ) -> Float[Tensor, "batch embedding"]:
        """Unit vectors of images, from their backbone features (any floating dtype)."""
        return F.normalize(self.mlp(feature.to(self.logit_scale.dtype)).float(), dim=-1)

    def embed_batch(self, batch: GeoBatch) -> Float[Tensor, "batch embedding"]:
        """Unit vectors of a batch: from its features where it has them, else from its pixels."""
        if batch.feature is not None:
            return self.embed_features(batch.feature)
        assert batch.image is not None, "a GeoBatch has images or features"
        return self.embed_features(self.backbone_features(batch.image))

    def embed_places(self, latlon_deg: Float[Tensor, "n 2"]) -> Float[Tensor, "n embedding"]:
        """Unit vectors of places (latitude, longitude in degrees)."""
        return F.normalize(self.location_encoder(latlon_deg).float(), dim=-1)

    def add_cell_head(self, cells: int) -> None:
        """Give the model a head that names the geocell of an image; weights are drawn anew."""
        self.cell_head = nn.Linear(self.embedding_dim, cells)

    def cell_logits(
        self, embedding: Float[Tensor, "batch embedding"]
    ) -> Float[Tensor, "batch cell"]:
        """Logits of the geocells of images, from their unit vectors; for models with that head."""
        assert self.cell_head is not None, "add_cell_head comes first"
        # numbers of a unit vector are small: stretched, they have a variance of one
        return self.cell_head(math.sqrt(self.embedding_dim) * embedding).float()

    def scale(self) -> Float[Tensor, ""]:
        """The factor on cosines: exp(logit_scale), at most `max_logit_scale`.

        Beyond the bound the gradient still flows, so the parameter can come back by itself.
        """
        free = self.logit_scale.float().exp()
        return free + (free.clamp(max=self.max_logit_scale) - free).detach()

    @torch.no_grad()
    def clamp_temperature(self) -> None:
        """Put the parameter itself back within its bound; to be called after each update."""
        self.logit_scale.clamp_(max=math.log(self.max_logit_scale))

    def train(self, mode: bool = True) -> DualEncoder:
        """Training or evaluation mode; a frozen backbone stays in evaluation mode."""
        super().train(mode)
        if self.frozen_backbone and isinstance(self.image_encoder, nn.Module):
            self.image_encoder.eval()
        return self

    def trainable_state(self) -> dict[str, Tensor]:
        """The state without a frozen backbone: what training changes (and fixed frequencies)."""
        return {
            name: tensor
            for name, tensor in self.state_dict().items()
            if not (self.frozen_backbone and name.startswith(_BACKBONE))
        }

    def load_trainable_state(self, state: Mapping[str, Tensor]) -> None:
        """Load what `trainable_state` gave; a frozen backbone is left as it is.

        Raises:
            CheckpointError: a tensor is missing, left over or of another shape.
        """
        without = _BACKBONE if self.frozen_backbone else None
        load_strict(self, state, source="trainable state", without=without)

    def backbone_fingerprint(self) -> str:
        """Sha256 of the backbone: equal where the features of equal images are.

        A frozen backbone's is taken once, and again when its tensors have changed.
        """
        backbone = self.image_encoder
        if not self.frozen_backbone or not isinstance(backbone, nn.Module):
            return backbone.fingerprint()
        if self._fingerprinted is None or not self._fingerprinted[0].holds_for(backbone):
            self._fingerprinted = (Stamp.of(backbone), backbone.fingerprint())
        return self._fingerprinted[1]

    def fingerprint(self) -> str:
        """Sha256 over all that an answer depends on: backbone, heads, location encoder, scale."""
        heads = {
            name: tensor
            for name, tensor in self.state_dict().items()
            if not name.startswith(_BACKBONE)
        }
        label = f"dual {self.backbone_fingerprint()} {self.max_logit_scale}"
        return fingerprint_tensors(heads, label=label)
