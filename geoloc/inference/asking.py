"""Asking about files: their answers in order, each with what its camera said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from geoloc.errors import ConfigError
from geoloc.inference.ahead import done_ahead
from geoloc.inference.answer_lines import FileKey
from geoloc.inference.answering import AnswerDetail
from geoloc.inference.answers import Answer, Refusal
from geoloc.inference.camera import (
    CameraPlace,
    ExifMode,
    Result,
    camera_place,
    distance_to_camera_km,
)
from geoloc.inference.formats import result_json
from geoloc.inference.geolocator import Geolocator
from geoloc.inference.prepared import PreparedImage
from geoloc.retrieval import Gallery


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked about every image.

    Attributes:
        top_k: how many places an answer holds at most.
        apart_km: how far they lie apart at least; None leaves it to the gallery.
        heat: whether answers hold the posterior over the globe.
        exif: what is done with the place that an image carries.
    """

    top_k: int = 5
    apart_km: float | None = None
    heat: bool = False
    exif: ExifMode = "ignore"

    def detail(self, geolocator: Geolocator) -> AnswerDetail:
        """What the answers of a geolocator shall hold.

        Raises:
            ConfigError: a number is out of range.
        """
        return geolocator.stages.detail(self.top_k, self.apart_km, self.heat)


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedImage:
    """One image that was asked about.

    Attributes:
        key: its file as it was before it was read; None of a caption, or of several together.
        result: the answer, or why there is none, or the place that it carries, taken instead.
        camera: the place that it carries, where that was to be read and there is one.
    """

    key: FileKey | None
    result: Result
    camera: CameraPlace | None = None

    @property
    def off_km(self) -> float | None:
        """How far the answer's first place lies from the camera's, None where one is missing."""
        if self.camera is None or not isinstance(self.result, Answer):
            return None
        return distance_to_camera_km(self.result, self.camera)


def ask_files(
    geolocator: Geolocator,
    files: Iterable[Path],
    question: Question,
    *,
    batch_size: int = 32,
    workers: int = 0,
) -> Iterator[AskedImage]:
    """Each file's answer, refusal or camera's place, in the order of the files.

    Files are only ever read.

    Args:
        geolocator: is asked.
        files: drawn lazily.
        question: what is asked of each.
        batch_size: how many images go through the model at once.
        workers: threads that read, decode and resize images ahead of the model; 0 has none.

    Raises:
        ConfigError: a number is out of range.
    """
    for name, value, least in (("batch size", batch_size, 1), ("workers", workers, 0)):
        if value < least:
            raise ConfigError(f"{name} must be at least {least}, not {value}")
    stages = geolocator.stages
    detail = question.detail(geolocator)

    def opened(path: Path) -> tuple[FileKey, CameraPlace | None, PreparedImage | Refusal | None]:
        key = FileKey.of(path)
        camera = None if question.exif == "ignore" else camera_place(path)
        if question.exif == "skip" and camera is not None:
            return key, camera, None
        return key, camera, stages.prepare_or_refuse(path, str(path))

    images = done_ahead(files, opened, workers=workers, ahead=2 * batch_size)
    while batch := list(islice(images, batch_size)):
        good = [image for _, _, image in batch if isinstance(image, PreparedImage)]
        answers = iter(stages.answer(good, stages.embed(good), detail))
        for key, camera, image in batch:
            result = next(answers) if isinstance(image, PreparedImage) else image or camera
            assert result is not None
            yield AskedImage(key=key, result=result, camera=camera)


def asked_json(asked: AskedImage, *, exif: ExifMode) -> dict[str, Any]:
    """One line of JSON lines: the file, and what came of it (see `result_json`).

    Args:
        asked: the image.
        exif: what was done with the place that it carries.
    """
    shown = {} if asked.camera is None else {asked.result.source: asked.camera}
    cameras = shown if exif in {"report", "compare"} else None
    file = None if asked.key is None else asked.key.json()
    return {"file": file, **result_json(asked.result, cameras)}


def query_json(
    geolocator: Geolocator, question: Question, more: Mapping[str, object] | None = None
) -> dict[str, Any]:
    """What decides an answer, apart from the image: files of answers to one query agree in it.

    Args:
        geolocator: is asked.
        question: what is asked.
        more: that the caller knows besides.
    """
    basis, gallery, known = geolocator.basis, geolocator.gallery, geolocator.calibration
    return {
        "model": basis.model,
        "gallery": basis.gallery,
        "gallery_places": basis.gallery_places,
        "places": gallery.places_fingerprint if isinstance(gallery, Gallery) else None,
        "decoding": basis.decoding,
        "protocol": basis.protocol,
        "scale": None if known is None else round(known.scale, 6),
        **asdict(question.detail(geolocator)),
        "exif": question.exif,
        **(more or {}),
    }
