"""What a query can be answered with: places, reference images with places, or both together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from geoloc.errors import ConfigError, MismatchError
from geoloc.retrieval.csls import NEIGHBOURS, nearness_to_queries
from geoloc.retrieval.embed import Embedded
from geoloc.retrieval.gallery import Gallery
from geoloc.retrieval.index import NearestIndex
from geoloc.retrieval.kept_tensor import kept_tensor
from geoloc.retrieval.offset_index import OffsetIndex
from geoloc.retrieval.places_sources import distinct_places

# Enough images to know how alike neighbours are, and how near queries come to a candidate.
_SAMPLE = 20_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidates:
    """Candidates of one model; the score of a query x is ``x @ embedding + offset``.

    Attributes:
        name: what reports call them.
        model_fingerprint: of the model that made the embeddings.
        latlon_deg: where each candidate is.
        embedding: unit vectors for places and for images, shorter ones for both together.
        offset: added to the inner product; None where it is zero for all.
        reference_key: of each candidate's reference image; None for a place without one.
        duplicates_dropped: of the gallery's places.
        drawn_from: how many places the gallery's were chosen from at random, if they were.
    """

    name: str
    model_fingerprint: str
    latlon_deg: Float64[np.ndarray, "candidate 2"]
    embedding: Float32[Tensor, "candidate embedding"]
    offset: Float32[Tensor, " candidate"] | None = None
    reference_key: tuple[str | None, ...] | None = None
    duplicates_dropped: int = 0
    drawn_from: int | None = None

    def __len__(self) -> int:
        return len(self.latlon_deg)

    @classmethod
    def of_places(cls, gallery: Gallery) -> Candidates:
        """Image → place: the places of a gallery."""
        return cls(
            name=gallery.name,
            model_fingerprint=gallery.model_fingerprint,
            latlon_deg=gallery.latlon_deg,
            embedding=gallery.embedding,
            duplicates_dropped=gallery.duplicates_dropped,
            drawn_from=gallery.drawn_from,
        )

    @classmethod
    def of_images(
        cls, references: Embedded, *, model_fingerprint: str, name: str = "images"
    ) -> Candidates:
        """Image → image: the reference images, each answering with its own place."""
        return cls(
            name=name,
            model_fingerprint=model_fingerprint,
            latlon_deg=references.latlon_deg,
            embedding=references.embedding,
            reference_key=references.key,
        )

    @classmethod
    def of_both(
        cls,
        gallery: Gallery,
        references: Embedded,
        reference_place: Float32[Tensor, "reference embedding"],
        *,
        weight: float,
        name: str = "combined",
    ) -> Candidates:
        """Places and images together, over the union of both.

        The softmax of the places, p, and that of the images, q, are pooled log-linearly,
        p^(1 - weight) q^weight, normalised (Genest and Zidek 1986, "Combining probability
        distributions", section 3; with weights of one a product of experts, Hinton 2002). With one
        temperature for both the pooled logit of a reference image at its place is

            scale x @ ((1 - weight) place + weight image),

        which is again one inner product a candidate. Another temperature for one of the two would
        only be another weight. A place of the gallery without a reference image is taken to have
        one as like the query as `unseen_cosine` says: what a reference image is to its tenth
        nearest. At weight 1 such places are left out, and `of_images` remains.

        Args:
            gallery: the places.
            references: the images, of the gallery's model.
            reference_place: the model's embeddings of the references' places.
            weight: of the images, 0 to 1; to be chosen on validation images.
            name: what reports call them.

        Raises:
            ConfigError: the weight lies outside 0..1.
        """
        if not 0.0 <= weight <= 1.0:
            raise ConfigError(f"the weight of the images must lie in 0..1, not {weight}")
        images = cls.of_images(references, model_fingerprint=gallery.model_fingerprint, name=name)
        if weight == 1.0:
            return images
        seen = len(references)
        _, own = distinct_places(np.concatenate([references.latlon_deg, gallery.latlon_deg]))
        alone = np.flatnonzero(~np.isin(own[seen:], own[:seen]))
        mixed = torch.lerp(reference_place, references.embedding, weight)
        offset = torch.zeros(seen + len(alone))
        if len(alone):
            offset[seen:] = weight * unseen_cosine(references)
        return replace(
            images,
            latlon_deg=np.concatenate([references.latlon_deg, gallery.latlon_deg[alone]]),
            embedding=torch.cat([mixed, (1.0 - weight) * gallery.embedding[alone]]),
            offset=offset,
            reference_key=(*references.key, *[None] * len(alone)),
        )

    def corrected(
        self,
        calibration: Embedded,
        *,
        neighbours: int = NEIGHBOURS,
        cache: Path | None = None,
        device: torch.device | str = "cpu",
    ) -> Candidates:
        """The same candidates with their hubs held back by CSLS (see `nearness_to_queries`).

        Args:
            calibration: images of the same model that no test is made of; an image that is a
                candidate's own reference (by key) has no say on it. Of more than 20,000 every
                nth is asked.
            neighbours: how many of the nearest are averaged.
            cache: folder that keeps the correction, by content, for the next time.
            device: where to compute.

        Raises:
            ConfigError: there are too few calibration images.
        """
        step = -(-len(calibration) // _SAMPLE)
        row = {key: at for at, key in enumerate(self.reference_key or ()) if key is not None}
        own = torch.tensor([row.get(key, -1) for key in calibration.key[::step]])
        query, offset = calibration.embedding[::step], self._offset()

        def compute() -> Tensor:
            held = (part.to(device) for part in (self.embedding, offset, query))
            near = nearness_to_queries(*held, neighbours=neighbours, own=own.to(device))
            return offset - near.cpu() / 2.0

        content = (self.embedding, offset, query, own, torch.tensor(neighbours))
        corrected = compute() if cache is None else kept_tensor(cache, "csls", content, compute)
        return replace(self, offset=corrected)

    def to(self, device: torch.device | str) -> Candidates:
        """The same candidates with their embeddings on a device."""
        offset = None if self.offset is None else self.offset.to(device)
        return replace(self, embedding=self.embedding.to(device), offset=offset)

    def index(self, build: Callable[[Tensor], NearestIndex]) -> NearestIndex:
        """An index over the scores.

        Args:
            build: makes an index of unit vectors, such as `build_index` with its kind given.
        """
        if self.offset is None:
            return build(self.embedding)
        return OffsetIndex(self.embedding, self.offset, build)

    def _offset(self) -> Tensor:
        return torch.zeros(len(self)) if self.offset is None else self.offset


def unseen_cosine(references: Embedded, *, neighbours: int = NEIGHBOURS) -> float:
    """Mean cosine of a reference image with its `neighbours`-th nearest other reference image.

    Of more than 1,000 references every nth is asked.

    Args:
        references: the images; with fewer than `neighbours` others the farthest is taken.
        neighbours: which of the nearest.
    """
    asked = torch.arange(0, len(references), -(-len(references) // 1000))
    score = references.embedding[asked] @ references.embedding.T
    score[torch.arange(len(asked)), asked] = -torch.inf
    nearest = min(neighbours, len(references) - 1)
    if not nearest:
        return 0.0
    return float(score.topk(nearest, dim=1).values[:, -1].mean())


def load_references(folder: Path, *, model_fingerprint: str) -> Embedded:
    """Reference images as `geoloc embed` wrote them, once it is known that they fit the model.

    Raises:
        DataError: they are missing or damaged.
        MismatchError: another model embedded them.
    """
    made_by = Embedded.fingerprint_of(folder)
    if made_by != model_fingerprint:
        raise MismatchError(
            f"the images at {folder} were embedded by model {made_by[:12]}, not by "
            f"{model_fingerprint[:12]}: embed them again with `geoloc embed` and this run"
        )
    return Embedded.load(folder)
