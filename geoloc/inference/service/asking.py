"""Asking: the model behind the service, from encoded bytes and texts to documents of answers."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeAlias

from PIL import Image

from geoloc.data.decoding import FORMATS, check_size
from geoloc.errors import GeolocError, ImageError
from geoloc.inference.answering import AnswerDetail
from geoloc.inference.answers import Answer, Refusal
from geoloc.inference.coarseness import coarse_answer, coarse_distance_km, coarse_map
from geoloc.inference.explanation import explain
from geoloc.inference.formats import answer_json
from geoloc.inference.geolocator import Geolocator
from geoloc.inference.prepared import PreparedImage
from geoloc.inference.service.failures import no_text_tower
from geoloc.inference.service.options import AnswerOptions
from geoloc.models.open_clip_encoder import OpenClipEncoder

Reply: TypeAlias = list[dict[str, Any]]

WARM_UP = "warm-up"
"""What the image is called that a model answers before anybody asks."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageQuestion:
    """Where were these images of one request taken?"""

    images: tuple[PreparedImage, ...]
    options: AnswerOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class TextQuestion:
    """Where would images with these captions have been taken?"""

    texts: tuple[str, ...]
    top_k: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainQuestion:
    """Which part of this image moved its answer?

    Attributes:
        data: its encoded bytes, which `prepare` has let pass.
        name: what it is called.
    """

    data: bytes
    name: str


Question: TypeAlias = ImageQuestion | TextQuestion | ExplainQuestion


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
        stages = geolocator.stages
        gray = stages.prepare(Image.new("RGB", (320, 240), (120, 140, 160)), WARM_UP)
        detail = self._detail(geolocator, AnswerOptions(top_k=1, heat=True))
        self._documents(stages.answer([gray], stages.embed([gray]), detail))
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
        return asdict(self.geolocator.basis)

    def prepare(self, data: bytes, name: str) -> PreparedImage | Refusal:
        """An encoded image made ready for the model, or why it is refused."""
        try:
            _check_pixels(data, self._most_pixels, name)
        except ImageError as error:
            return Refusal(
                source=name, message=str(error).removeprefix(f"{name}: "), kind=error.kind
            )
        return self.geolocator.stages.prepare_or_refuse(data, name)

    def answer(self, questions: Sequence[Question]) -> list[Reply | Exception]:
        """A reply, or what stands against it, for each question, in order.

        Images of all questions go through the model together, and those with equal options
        through the gallery.
        """
        replies: list[Reply | Exception] = [[] for _ in questions]
        asked: dict[int, ImageQuestion] = {}
        for at, question in enumerate(questions):
            if isinstance(question, ImageQuestion):
                asked[at] = question
            else:
                replies[at] = self._alone(question)
        for at, reply in self._images(asked):
            replies[at] = reply
        return replies

    def _images(self, asked: dict[int, ImageQuestion]) -> list[tuple[int, Reply]]:
        stages = self.geolocator.stages
        images = [image for question in asked.values() for image in question.images]
        embedded = stages.embed(images)
        rows: dict[int, list[int]] = {}
        alike: dict[AnswerOptions, list[int]] = {}
        start = 0
        for at, question in asked.items():
            rows[at] = list(range(start, start + len(question.images)))
            start += len(question.images)
            alike.setdefault(question.options, []).append(at)
        told: list[tuple[int, Reply]] = []
        for options, positions in alike.items():
            detail = self._detail(self.geolocator, options)
            if options.together:
                for at in positions:
                    answer = stages.answer_together(asked[at].images, embedded[rows[at]], detail)
                    told.append((at, self._documents([answer])))
                continue
            chosen = [row for at in positions for row in rows[at]]
            answers = stages.answer([images[row] for row in chosen], embedded[chosen], detail)
            documents = dict(zip(chosen, self._documents(answers), strict=True))
            told += [(at, [documents[row] for row in rows[at]]) for at in positions]
        return told

    def _alone(self, question: TextQuestion | ExplainQuestion) -> Reply | Exception:
        # Images that came in the same batch are answered whatever becomes of this question.
        try:
            if isinstance(question, TextQuestion):
                return self._texts(question)
            return self._explained(question)
        except Exception as error:
            return error

    def _texts(self, question: TextQuestion) -> Reply | Exception:
        try:
            detail = self._detail(self.geolocator, AnswerOptions(top_k=question.top_k))
            answers = self.geolocator.locate_texts(
                question.texts, top_k=detail.top_k, apart_km=detail.apart_km
            )
        except GeolocError:
            return no_text_tower("this model's text tower cannot be had")
        return self._documents(answers)

    def _explained(self, question: ExplainQuestion) -> Reply:
        told = explain(self.geolocator, question.data, name=question.name)
        return [coarse_map(told, self._coarse_km).to_json()]

    def _detail(self, geolocator: Geolocator, options: AnswerOptions) -> AnswerDetail:
        top_k = min(options.top_k, geolocator.basis.gallery_places)
        detail = geolocator.stages.detail(top_k, options.apart_km, options.heat)
        # Which exact places lie within a distance of one's choice would tell how far apart they
        # are, to the metre.
        apart_km = coarse_distance_km(detail.apart_km, self._coarse_km)
        return replace(detail, apart_km=apart_km, heat_km=self._coarse_km)

    def _documents(self, answers: Sequence[Answer]) -> Reply:
        return [answer_json(coarse_answer(answer, self._coarse_km)) for answer in answers]


def _check_pixels(data: bytes, most_pixels: int, name: str) -> None:
    """Refuse by the header, as `decode_image` does, but by the service's own limit.

    Raises:
        ImageError: kind ``too_large``.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            size = opened.size
    # What is wrong with the image is told by whoever decodes it.
    except Exception:
        return
    check_size(size, max_pixels=most_pixels, name=name)
