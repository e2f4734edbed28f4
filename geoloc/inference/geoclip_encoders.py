"""GeoCLIP's two encoders under the names and arguments of its released package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from geoloc.data.colours import to_tensor
from geoloc.data.resampling import Resizing, as_pixels, resample
from geoloc.inference.geoclip_release import clip_file, read_release
from geoloc.inference.pictures import ImageLike, open_picture
from geoloc.models import location_encoder as towers
from geoloc.models.clip_files import visual_state
from geoloc.models.geoclip import (
    LOCATION_FILE,
    fill_location_encoder,
    flush_denormals,
    released_folder,
)
from geoloc.models.hub_files import HubAccess
from geoloc.models.open_clip_encoder import DEFAULT_NAME, OpenClipEncoder
from geoloc.models.weight_files import load_strict

# Of GeoCLIP's head, fixed in its released code.
FEATURE_DIM, HIDDEN, EMBEDDING_DIM = 768, 768, 512


class ImageEncoder(nn.Module):
    """CLIP ViT-L/14 and GeoCLIP's head, as ``geoclip.ImageEncoder``; of CLIP the image tower alone.

    A state that the released class saved loads too: its names for CLIP are translated, its text
    tower is passed over.

    Source: GeoCLIP 1.3.0, model/image_encoder.py.

    Args:
        from_pretrained: load CLIP's weights and freeze them; else they are random. The head is
            random in either case: `GeoCLIP` loads it.
        clip_path: the file with CLIP's weights, a folder with it, or ``owner/name`` on the Hub;
            by default ``openai/clip-vit-large-patch14``.

    Raises:
        CheckpointError: the weights cannot be had or do not fit.
    """

    def __init__(
        self, from_pretrained: bool = True, *, clip_path: str | Path | None = None
    ) -> None:
        super().__init__()
        if clip_path is not None and not from_pretrained:
            raise ValueError("clip_path requires from_pretrained=True")
        weights = str(clip_file(clip_path)) if from_pretrained else None
        self.CLIP = OpenClipEncoder(DEFAULT_NAME, weights)
        self.mlp = nn.Sequential(
            nn.Linear(FEATURE_DIM, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, EMBEDDING_DIM)
        )
        if from_pretrained:
            self.CLIP.requires_grad_(False)
        self.register_load_state_dict_pre_hook(_translate_released_names)

    def preprocess_image(
        self, image: ImageLike | Sequence[ImageLike]
    ) -> Float[Tensor, "image 3 height width"]:
        """Images as CLIP takes them: bit for bit what transformers' Pillow processor gives.

        Args:
            image: one image or a list of them; PIL images, or what else `open_picture` takes.

        Raises:
            ImageError: an image cannot be used.
        """
        several = cast("Sequence[ImageLike]", image) if isinstance(image, list | tuple) else None
        images = [cast("ImageLike", image)] if several is None else several
        return torch.stack([self._prepared(item) for item in images])

    def forward(self, x: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch embedding"]:
        """Embeddings of prepared images, not normalised."""
        return self.mlp(self.CLIP(x))

    def _prepared(self, item: ImageLike) -> Tensor:
        image = item.convert("RGB") if isinstance(item, Image.Image) else open_picture(item)
        preset, (width, height) = self.CLIP.preset, image.size
        short, side = min(width, height), preset.size
        size = (int(side * width / short), int(side * height / short))
        # The centre as transformers has it, half a pixel beside torchvision's where it is odd.
        left, top = (size[0] - side) // 2, (size[1] - side) // 2
        how = Resizing(
            box=(0, 0, width, height),
            size=size,
            window=(left, top, left + side, top + side),
            interpolation=preset.interpolation,
        )
        return to_tensor(resample(as_pixels(image), how), preset)


class LocationEncoder(towers.LocationEncoder):
    """GeoCLIP's location encoder with the arguments of ``geoclip.LocationEncoder``.

    Called on (n, 2) latitude and longitude in degrees, it gives vectors of 512 that are not
    normalised.

    Source: GeoCLIP 1.3.0, model/location_encoder.py.

    Args:
        sigma: standard deviation of the frequencies, one a branch; by default 1, 16 and 256.
        from_pretrained: load the released weights, which the package ``geoclip`` has with it.

    Raises:
        CheckpointError: the package is not installed, or its weights do not fit.
    """

    def __init__(self, sigma: Sequence[float] | None = None, from_pretrained: bool = True) -> None:
        sigmas = towers.RELEASED_SIGMAS if sigma is None else tuple(sigma)
        with torch.device("meta" if from_pretrained else "cpu"):
            super().__init__(sigmas, EMBEDDING_DIM)
        self.sigma = list(sigmas)
        self.n = len(sigmas)
        if from_pretrained:
            fill_location_encoder(self, released_folder() / "weights" / LOCATION_FILE)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        device: torch.device | str = "cpu",
    ) -> LocationEncoder:
        """The encoder of a release: a folder, or ``owner/name`` on the Hub.

        Raises:
            CheckpointError: it cannot be had, or is no location encoder of GeoCLIP.
        """
        access = HubAccess(token=token, cache_dir=cache_dir, local_files_only=local_files_only)
        release = read_release(
            pretrained_model_name_or_path,
            "geoclip-location-encoder",
            revision=revision,
            access=access,
        )
        encoder = cls(sigma=release.sigma, from_pretrained=False)
        load_strict(encoder, release.weights, source=str(release.folder), assign=True)
        flush_denormals(encoder)
        return encoder.to(device).eval()


def _translate_released_names(
    _module: nn.Module, state: dict[str, Any], prefix: str, *_rest: object
) -> None:
    """Transformers' names of a CLIP in a state become open_clip's, in place."""
    start = f"{prefix}CLIP."
    theirs = {name: state[name] for name in state if name.startswith(start)}
    if not any(name.startswith(f"{start}vision_model.") for name in theirs):
        return
    for name in theirs:
        del state[name]
    plain = {name.removeprefix(start): value for name, value in theirs.items()}
    state.update({f"{start}visual.{key}": value for key, value in visual_state(plain).items()})
