"""The stages of an answer (prepare, embed, answer), for those who batch on their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from geoloc.errors import ConfigError
from geoloc.evaluation.calibration_file import Calibration
from geoloc.inference.answering import AnswerDetail, Answerer, Query
from geoloc.inference.answers import Answer, Refusal
from geoloc.inference.basis import basis_of
from geoloc.inference.continuous import Decoding
from geoloc.inference.gallery_posterior import independent_images, pooled_query
from geoloc.inference.modes import CORRECTIONS
from geoloc.inference.opening import refuse_unfit
from geoloc.inference.pictures import ImageLike, source_name
from geoloc.inference.prepared import PreparedImage, prepare_image, prepare_or_refuse
from geoloc.inference.trip import Travel, check_times, trip_posterior
from geoloc.models import DualEncoder
from geoloc.retrieval import Candidates, Gallery, NearestIndex

LIKENESS = 1.0
"""How much the errors of images of one place go together: measured in docs/answers.md."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stages:
    """A model and an answerer, asked stage by stage; `prepare` is safe on any thread.

    Attributes:
        model: in evaluation mode.
        device: where it lives.
        answerer: over its candidates.
    """

    model: DualEncoder
    device: torch.device
    answerer: Answerer

    def detail(
        self, top_k: int = 5, apart_km: float | None = None, heat: bool = False
    ) -> AnswerDetail:
        """What an answer shall hold, once it is known that it can.

        Args:
            top_k: how many places at most.
            apart_km: None takes the gallery's resolution (`resolution_km`).
            heat: whether the posterior over the globe is wanted.

        Raises:
            ConfigError: `top_k` lies outside 1 to the number of candidates, or `apart_km` is
                negative or not a number.
        """
        size = len(self.answerer.candidates)
        if not 1 <= top_k <= size:
            raise ConfigError(
                f"top_k must lie between 1 and the gallery's {size} places, not {top_k}"
            )
        if apart_km is None:
            apart_km = self.answerer.resolution_km
        if not 0 <= apart_km < float("inf"):
            raise ConfigError(f"apart_km must be a distance of 0 km or more, not {apart_km:g}")
        return AnswerDetail(top_k=int(top_k), apart_km=float(apart_km), heat=heat)

    def prepare(self, item: ImageLike, name: str) -> PreparedImage:
        """See `prepare_image`, by the model's preset."""
        return prepare_image(item, name, self.model.image_encoder.preset)

    def prepare_all(self, items: Sequence[ImageLike]) -> list[PreparedImage]:
        """All images, each named by `source_name`.

        Raises:
            ImageError: one cannot be used.
        """
        return [self.prepare(item, source_name(item, at)) for at, item in enumerate(items)]

    def prepare_or_refuse(self, item: ImageLike, name: str) -> PreparedImage | Refusal:
        """See `geoloc.inference.prepared.prepare_or_refuse`, by the model's preset."""
        return prepare_or_refuse(item, name, self.model.image_encoder.preset)

    def embed(self, images: Sequence[PreparedImage]) -> Float[Tensor, "image embedding"]:
        """Unit vectors of the images, on the model's device."""
        if not images:
            return self.answerer.candidates.embedding.new_empty((0, self.model.embedding_dim))
        return self.embed_pixels(torch.stack([image.pixels for image in images]))

    @torch.inference_mode()
    def embed_pixels(
        self, pixels: Float[Tensor, "image 3 height width"]
    ) -> Float[Tensor, "image embedding"]:
        """Unit vectors of prepared pixels, on the model's device."""
        features = self.model.backbone_features(pixels.to(self.device))
        return self.model.embed_features(features).float()

    @torch.inference_mode()
    def answer(
        self,
        images: Sequence[PreparedImage],
        embedded: Float[Tensor, "image embedding"],
        detail: AnswerDetail,
    ) -> list[Answer]:
        """One answer an image."""
        return self.answerer.answers([image.query for image in images], embedded, detail)

    @torch.inference_mode()
    def answer_together(
        self,
        images: Sequence[PreparedImage],
        embedded: Float[Tensor, "image embedding"],
        detail: AnswerDetail,
        *,
        likeness: float = LIKENESS,
    ) -> Answer:
        """One answer of several images of one place (see `independent_images`).

        A calibration's temperature holds, its radii do not: they were fitted on single images.

        Raises:
            ConfigError: there is no image, or `likeness` lies outside 0..1.
        """
        if not images:
            raise ConfigError("images of one place: at least one is needed")
        if not 0 <= likeness <= 1:
            raise ConfigError(f"likeness must lie in 0..1, not {likeness:g}")
        names = [image.query.name for image in images]
        query = Query(
            name=names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more",
            photograph=all(image.query.photograph for image in images),
        )
        return self.answerer.pooled_answer(
            query,
            pooled_query(embedded),
            detail,
            images=independent_images(len(images), likeness),
        )

    @torch.inference_mode()
    def answer_trip(
        self,
        images: Sequence[PreparedImage],
        embedded: Float[Tensor, "image embedding"],
        times_h: Sequence[float],
        detail: AnswerDetail,
        *,
        travel: Travel | None = None,
    ) -> list[Answer]:
        """One answer an image, each with what the other images of the trip say.

        Places are the gallery's own, whatever the decoding; a calibration's temperature holds, its
        radii do not.

        Raises:
            ConfigError: times are not one an image and in order.
        """
        steps_h = check_times(times_h, len(images))
        if not images:
            return []
        seen = self.answerer.posterior(embedded, calibration=self.answerer.calibration)
        latlon_deg = self.answerer.candidates.latlon_deg
        told = trip_posterior(seen, latlon_deg, steps_h, travel or Travel())
        queries = [image.query for image in images]
        basis = replace(self.answerer.basis, decoding="argmax")
        return self.answerer.describe(queries, told, told.by_probability, detail, basis=basis)

    def stream(
        self, items: Iterable[ImageLike], detail: AnswerDetail, batch_size: int
    ) -> Iterator[Answer | Refusal]:
        """An answer or a refusal for each item, in order, a batch at a time."""
        numbered = iter(enumerate(items))
        while chunk := list(islice(numbered, batch_size)):
            opened = [self.prepare_or_refuse(item, source_name(item, at)) for at, item in chunk]
            good = [each for each in opened if isinstance(each, PreparedImage)]
            answers = iter(self.answer(good, self.embed(good), detail))
            for each in opened:
                yield next(answers) if isinstance(each, PreparedImage) else each


def build_stages(
    model: DualEncoder,
    gallery: Gallery | Candidates,
    *,
    index: NearestIndex | None,
    device: torch.device,
    calibration: Calibration | None,
    decoding: Decoding,
    run: Path | None,
    cache: Path | str | None = None,
) -> Stages:
    """Put the parts of a geolocator together; arguments and errors as `Geolocator` has them."""
    fingerprint = model.fingerprint()
    refuse_unfit(fingerprint, gallery, calibration, decoding)
    found = Candidates.of_places(gallery) if isinstance(gallery, Gallery) else gallery
    candidates, model = found.to(device), model.to(device).eval()
    answerer = Answerer(
        candidates=candidates,
        index=index,
        scale=float(model.scale().detach()),
        encode=lambda latlon_deg: model.embed_places(latlon_deg.to(device)),
        basis=basis_of(candidates, decoding=decoding, calibration=calibration, run=run),
        decoding=decoding,
        calibration=calibration,
        cache=Path(cache) if cache is not None else None if run is None else run / CORRECTIONS,
    )
    return Stages(model=model, device=device, answerer=answerer)
