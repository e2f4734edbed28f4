"""GeoCLIP with the methods of its released package, its gallery encoded once."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from geoloc.data.decoding import FORMATS, MAX_PIXELS, check_size, read_limited
from geoloc.errors import CheckpointError, ConfigError, ImageError
from geoloc.inference.geoclip_encoders import ImageEncoder, LocationEncoder
from geoloc.inference.geoclip_release import read_release
from geoloc.inference.pictures import ImageLike, open_picture
from geoloc.inference.released import default_cache, encoded_places
from geoloc.models.fingerprint import Stamp, fingerprint_tensors
from geoloc.models.geoclip import (
    IMAGE_HEAD_FILE,
    LOGIT_SCALE_FILE,
    flush_denormals,
    gallery_places,
    load_image_head,
    released_folder,
)
from geoloc.models.hub_files import HubAccess
from geoloc.models.weight_files import load_strict, read_scalar
from geoloc.retrieval.places_sources import distinct_places


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _EncodedGallery:
    """A gallery's unit vectors, and what they were made of.

    Attributes:
        latlon_deg: the places, repetitions included.
        encoder: stamp of the location encoder.
        embedding: unit vectors of the distinct places.
        row: for every place, its row among them.
    """

    latlon_deg: Tensor
    encoder: Stamp
    embedding: Float[Tensor, "distinct embedding"]
    row: Tensor


class GeoCLIP(nn.Module):
    """The released GeoCLIP for code that was written for ``geoclip.GeoCLIP``: one import changes.

    `predict` gives the released class's places and probabilities. The gallery is encoded once: at
    the first prediction after the location encoder or `gps_gallery` has changed, and where both are
    as released, once on this machine. Images are taken as the released class takes them, sideways
    where a camera was held so; `geoloc.Geolocator` turns them upright, and says how sure it is.

    Source: Vivanco Cepeda, Nayak, Shah 2023; package geoclip 1.3.0.

    Args:
        from_pretrained: load GeoCLIP's weights, which the package ``geoclip`` has with it.
        queue_size: length of the queue of places, which training uses.
        clip_path: the file with CLIP's weights, a folder with it, or ``owner/name`` on the Hub; by
            default ``openai/clip-vit-large-patch14``.
        clip_pretrained: load CLIP's weights; else they are random.
        cache_folder: where encoded galleries are kept; by default ``geoloc/galleries`` under
            ``$XDG_CACHE_HOME`` or ``~/.cache``.

    Raises:
        CheckpointError: weights are missing, cannot be fetched, or do not fit.
    """

    gps_gallery: Float[Tensor, "place 2"]
    gps_queue: Float[Tensor, "2 queue"]
    gps_queue_ptr: Tensor

    def __init__(
        self,
        from_pretrained: bool = True,
        queue_size: int = 4096,
        *,
        clip_path: str | Path | None = None,
        clip_pretrained: bool = True,
        cache_folder: str | Path | None = None,
    ) -> None:
        super().__init__()
        self.logit_scale = nn.Parameter(torch.tensor(-math.log(0.07)))
        # Before the backbone: what is missing here is told without reading gigabytes.
        self.location_encoder = LocationEncoder(from_pretrained=from_pretrained)
        self.image_encoder = ImageEncoder(from_pretrained=clip_pretrained, clip_path=clip_path)
        self.register_buffer("gps_gallery", _released_places(), persistent=False)
        self.queue_size = queue_size
        self.register_buffer("gps_queue", F.normalize(torch.randn(2, queue_size), dim=0))
        self.register_buffer("gps_queue_ptr", torch.zeros(1, dtype=torch.long))
        if from_pretrained:
            folder = released_folder() / "weights"
            head = load_image_head(folder / IMAGE_HEAD_FILE).state_dict()
            load_strict(self.image_encoder.mlp, head, source=IMAGE_HEAD_FILE)
            with torch.no_grad():
                self.logit_scale.copy_(read_scalar(folder / LOGIT_SCALE_FILE))
        self._cache = default_cache() if cache_folder is None else Path(cache_folder)
        self._encoded: _EncodedGallery | None
        self.note_loaded()
        self.register_load_state_dict_post_hook(_after_loading)

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
    ) -> GeoCLIP:
        """A release of GeoCLIP, ready to predict: a folder, or ``owner/name`` on the Hub.

        Raises:
            CheckpointError: it or its CLIP cannot be had, or is no release of GeoCLIP.
            DataError: its gallery cannot be read.
        """
        access = HubAccess(token=token, cache_dir=cache_dir, local_files_only=local_files_only)
        release = read_release(
            pretrained_model_name_or_path, "geoclip-geolocation", revision=revision, access=access
        )
        places = torch.from_numpy(gallery_places(release.gallery_file)).float()
        model = cls(from_pretrained=False, clip_path=release.clip_file(access))
        if tuple(model.location_encoder.sigma) != release.sigma:
            model.location_encoder = LocationEncoder(release.sigma, from_pretrained=False)
        model.gps_gallery = places
        model._take(release.weights, source=str(release.folder))
        return model.to(device).eval()

    def get_gps_queue(self) -> Float[Tensor, "queue 2"]:
        """The queue of places, one a row."""
        return self.gps_queue.t()

    @torch.no_grad()
    def dequeue_and_enqueue(self, gps: Float[Tensor, "batch 2"]) -> None:
        """Put a batch of places into the queue, over the oldest ones."""
        count, size = len(gps), self.queue_size
        if count >= size:
            self.gps_queue.copy_(gps[-size:].t())
            self.gps_queue_ptr.zero_()
            return
        start = int(self.gps_queue_ptr)
        slots = torch.arange(start, start + count, device=self.gps_queue.device) % size
        self.gps_queue[:, slots] = gps.t().to(self.gps_queue)
        self.gps_queue_ptr[0] = (start + count) % size

    def forward(
        self, image: Float[Tensor, "image 3 height width"], location: Float[Tensor, "place 2"]
    ) -> Float[Tensor, "image place"]:
        """Logits of prepared images for places: scale times cosine.

        `location` may be any places; for `gps_gallery` itself, and where no gradient is asked for,
        the places are not encoded again.
        """
        feature = F.normalize(self.image_encoder(image), dim=1)
        if location is self.gps_gallery and not torch.is_grad_enabled():
            known = self._encoded_gallery()
            logits = feature @ known.embedding.to(feature).t()
            return self.logit_scale.exp() * logits[:, known.row]
        place = F.normalize(self.location_encoder(location), dim=1)
        return self.logit_scale.exp() * (feature @ place.t())

    @torch.no_grad()
    def predict(
        self, image_path: ImageLike, top_k: int
    ) -> tuple[Float[Tensor, "rank 2"], Float[Tensor, " rank"]]:
        """The most probable places of `gps_gallery` for an image.

        Args:
            image_path: path of the image; or its bytes, a PIL image, an array or a tensor.
            top_k: how many places, 1 to the size of the gallery.

        Returns:
            Latitude and longitude in degrees, and the softmax over the whole gallery, both on the
            CPU. A place that the gallery has twice counts and comes twice, as released.

        Raises:
            ConfigError: `top_k` is out of range.
            ImageError: the image cannot be used.
        """
        if not 1 <= top_k <= len(self.gps_gallery):
            raise ConfigError(f"top_k must be between 1 and {len(self.gps_gallery)}, not {top_k}")
        image = self.image_encoder.preprocess_image(_picture(image_path))
        logits = self(image.to(self.logit_scale.device), self.gps_gallery)
        best = torch.topk(logits.softmax(dim=-1)[0], top_k)
        return self.gps_gallery[best.indices].cpu(), best.values.cpu()

    def _take(self, weights: Mapping[str, Tensor], *, source: str) -> None:
        """Load the tensors of a release: everything but CLIP."""
        parts: dict[str, nn.Module] = {
            "location_encoder.": self.location_encoder,
            "image_encoder.mlp.": self.image_encoder.mlp,
        }
        left = dict(weights)
        for prefix, module in parts.items():
            named = [name for name in left if name.startswith(prefix)]
            state = {name.removeprefix(prefix): left.pop(name) for name in named}
            load_strict(module, state, source=source)
        if set(left) != {"logit_scale"} or left["logit_scale"].numel() != 1:
            raise CheckpointError(f"{source}: expected one logit_scale beside the encoders")
        with torch.no_grad():
            self.logit_scale.copy_(left["logit_scale"].reshape(()))
        flush_denormals(self.location_encoder)
        self.note_loaded()

    def note_loaded(self) -> None:
        """Take the location encoder for one that will come again: worth a file in the cache.

        Called wherever weights are loaded. What training makes of them later is kept in memory.
        """
        self._encoded = None
        self._loaded = _fingerprint(self.location_encoder)

    def _encoded_gallery(self) -> _EncodedGallery:
        known, places = self._encoded, self.gps_gallery
        if (
            known is None
            or known.latlon_deg.device != places.device
            or not torch.equal(known.latlon_deg, places)
            or not known.encoder.holds_for(self.location_encoder)
        ):
            known = self._encoded = self._encode()
        return known

    def _encode(self) -> _EncodedGallery:
        stamp, places = Stamp.of(self.location_encoder), self.gps_gallery
        latlon_deg = places.double().cpu().numpy()
        same = _fingerprint(self.location_encoder) == self._loaded
        gallery = encoded_places(
            self.location_encoder, latlon_deg, cache=self._cache if same else None
        )
        first, row = (torch.from_numpy(part) for part in distinct_places(latlon_deg))
        embedding = gallery.embedding.to(places.device)
        # One point of the sphere can have two names, such as longitude 180 and -180, that the
        # released encoder tells apart.
        alias = (places.cpu() != places.cpu()[first[row]]).any(dim=1).nonzero()[:, 0]
        if len(alias):
            other = F.normalize(self.location_encoder(places[alias.to(places.device)]), dim=1)
            row[alias] = len(embedding) + torch.arange(len(alias))
            embedding = torch.cat([embedding, other.to(embedding)])
        return _EncodedGallery(
            latlon_deg=places.clone(),
            encoder=stamp,
            embedding=embedding,
            row=row.to(places.device),
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_encoded": None}


def _after_loading(module: nn.Module, _keys: object) -> None:
    assert isinstance(module, GeoCLIP)
    module.note_loaded()


def _fingerprint(encoder: LocationEncoder) -> str:
    return fingerprint_tensors(encoder.state_dict())


def _released_places() -> Tensor:
    """The package's gallery; no places at all where the package is not installed."""
    try:
        return torch.from_numpy(gallery_places()).float()
    except CheckpointError:
        return torch.zeros(0, 2)


def _picture(item: ImageLike) -> Image.Image:
    """An image's pixels as the released class reads them, within the limits of `geoloc.data`."""
    if isinstance(item, str | Path):
        data, name = read_limited(item), str(item)
    elif isinstance(item, bytes):
        data, name = item, "image"
    elif isinstance(item, Image.Image):
        return item
    else:
        return open_picture(item)
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            check_size(opened.size, max_pixels=MAX_PIXELS, name=name)
            return opened.convert("RGB")
    except ImageError:
        raise
    # Damaged bytes surface from Pillow's parsers as nearly any exception there is.
    except Exception as error:
        raise ImageError(
            f"{name}: not an image that can be read ({error})", kind="corrupt"
        ) from None
