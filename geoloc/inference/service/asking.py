"""Asking: the model behind the service, from encoded bytes and texts to documents of answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from PIL import Image

from geoloc.data.decoding import decode_image
from geoloc.errors import GeolocError, ImageError
from geoloc.inference.answers import Refusal
from geoloc.inference.geolocator import Geolocator
from geoloc.inference.service.failures import RequestError
from geoloc.inference.service.interim import about_basis, answer_document
from geoloc.inference.service.options import AnswerOptions
from geoloc.models.open_clip_encoder import OpenClipEncoder

Picture: TypeAlias = Image.Image
Reply: TypeAlias = list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageQuestion:
    """Where were these images of one request taken?"""

    pictures: tuple[Picture, ...]
    names: tuple[str, ...]
    options: AnswerOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class TextQuestion:
    """Where would images with these captions have been taken?"""

    texts: tuple[str, ...]
    top_k: int


Question: TypeAlias = ImageQuestion | TextQuestion


class Asking:
    """A geolocator that is asked in batches.

    `prepare` may run in any thread, all else in one at a time.

    Args:
        load: gives the geolocator; called by `open`.
        coarse_km: size of the cells that answers are snapped to; 0 for exact ones.
        megapixels: an image's most, by its header.
    """

    def __init__(
        self, load: Callable[[], Geolocator], *, coarse_km: float, megapixels: float
    ) -> None:
        self._load = load
        self._coarse_km = coarse_km
        self._most_pixels = int(1e6 * megapixels)
        self._geolocator: Geolocator | None = None

    def open(self) -> None:
        """Load the model and let it answer once, so that no request pays for what comes first.

        Raises:
            GeolocError: the model cannot be loaded.
        """
        geolocator = self._load()
        geolocator.locate([Image.new("RGB", (320, 240), (120, 140, 160))], top_k=1)
        self._geolocator = geolocator

    @property
    def geolocator(self) -> Geolocator:
        """The geolocator, once it is open."""
        if self._geolocator is None:
            raise RuntimeError("the model is not loaded yet")
        return self._geolocator

    @property
    def takes_texts(self) -> bool:
        """Whether the model may have a text tower."""
        encoder = self.geolocator.model.image_encoder
        return isinstance(encoder, OpenClipEncoder) and encoder.weights is not None

    def basis(self) -> dict[str, Any]:
        """What answers rest on."""
        return about_basis(self.geolocator)

    def prepare(self, data: bytes, name: str) -> Picture | Refusal:
        """An encoded image made ready for the model, or why it is refused."""
        try:
            return decode_image(data, max_pixels=self._most_pixels, name=name)
        except ImageError as error:
            reason = str(error).removeprefix(f"{name}: ")
            return Refusal(source=name, message=reason, kind=error.kind)

    def answer(self, questions: Sequence[Question]) -> list[Reply | Exception]:
        """A reply, or what stands against it, for each question, in order.

        Images of all questions with equal options go through the model together.
        """
        replies: list[Reply | Exception] = [[] for _ in questions]
        alike: dict[AnswerOptions, list[int]] = {}
        for position, question in enumerate(questions):
            if isinstance(question, TextQuestion):
                replies[position] = self._texts(question)
            else:
                alike.setdefault(question.options, []).append(position)
        for options, positions in alike.items():
            asked = [questions[position] for position in positions]
            batch = [each for each in asked if isinstance(each, ImageQuestion)]
            for position, reply in zip(positions, self._images(batch, options), strict=True):
                replies[position] = reply
        return replies

    def _images(self, batch: Sequence[ImageQuestion], options: AnswerOptions) -> list[Reply]:
        pictures = [picture for question in batch for picture in question.pictures]
        top_k = min(options.top_k, len(self.geolocator.gallery))
        answers = iter(self.geolocator.locate(pictures, top_k))
        return [
            [answer_document(next(answers), name, self.geolocator) for name in question.names]
            for question in batch
        ]

    def _texts(self, question: TextQuestion) -> Reply | Exception:
        if not self.takes_texts:
            return RequestError(501, "no_text_tower", "this model cannot be asked in words")
        top_k = min(question.top_k, len(self.geolocator.gallery))
        try:
            answers = self.geolocator.locate_texts(question.texts, top_k)
        except GeolocError:
            return RequestError(501, "no_text_tower", "this model's text tower cannot be had")
        return [answer_document(answer, answer.source, self.geolocator) for answer in answers]
