"""Asking about several images at once: of one place, or of one journey."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from geoloc.data.decoding import read_limited
from geoloc.data.photo_times import hours_between, photo_time
from geoloc.errors import ConfigError, ImageError
from geoloc.inference.ahead import done_ahead
from geoloc.inference.answer_lines import FileKey
from geoloc.inference.answers import Refusal
from geoloc.inference.asking import AskedImage, Question
from geoloc.inference.camera import camera_place
from geoloc.inference.geolocator import Geolocator
from geoloc.inference.prepared import PreparedImage

_NO_TIME = "its EXIF data do not say when it was taken, as a trip needs"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Embedded:
    paths: tuple[Path, ...]
    images: tuple[PreparedImage, ...]
    vectors: Float[Tensor, "image embedding"]


def ask_together(
    geolocator: Geolocator,
    groups: Mapping[str, Sequence[Path]],
    question: Question,
    *,
    batch_size: int = 32,
    workers: int = 0,
) -> Iterator[AskedImage]:
    """One answer a group of images of one place, after the refusals of those that are no images.

    Args:
        geolocator: is asked.
        groups: files by the name that their answer shall have; an empty name leaves it to be made
            from the first file's.
        question: what is asked of each group.
        batch_size: how many images go through the model at once.
        workers: threads that read images ahead of the model; 0 has none.
    """
    detail = question.detail(geolocator)
    for name, files in groups.items():
        refused: list[AskedImage] = []
        known = _embedded(geolocator, files, refused, batch_size=batch_size, workers=workers)
        yield from refused
        if known.images:
            answer = geolocator.stages.answer_together(known.images, known.vectors, detail)
            yield AskedImage(key=None, result=replace(answer, source=name or answer.source))


def ask_trip(
    geolocator: Geolocator,
    files: Sequence[Path],
    question: Question,
    *,
    batch_size: int = 32,
    workers: int = 0,
) -> Iterator[AskedImage]:
    """One answer an image of a journey, by time, after the refusals.

    An image whose EXIF data do not say when it was taken is refused (``no_time``).

    Args:
        geolocator: is asked.
        files: in any order.
        question: what is asked of each.
        batch_size: how many images go through the model at once.
        workers: threads that read images ahead of the model; 0 has none.
    """
    detail = question.detail(geolocator)
    refused: list[AskedImage] = []
    hours = _hours(geolocator, files, refused)
    ordered = sorted(hours, key=lambda path: hours[path])
    known = _embedded(geolocator, ordered, refused, batch_size=batch_size, workers=workers)
    yield from refused
    times_h = [hours[path] for path in known.paths]
    answers = geolocator.stages.answer_trip(known.images, known.vectors, times_h, detail)
    for path, answer in zip(known.paths, answers, strict=True):
        camera = None if question.exif == "ignore" else camera_place(path)
        yield AskedImage(key=FileKey.of(path), result=answer, camera=camera)


def grouped_by_folder(files: Sequence[Path]) -> dict[str, list[Path]]:
    """Files by the folder that holds them."""
    groups: dict[str, list[Path]] = {}
    for path in files:
        groups.setdefault(str(path.parent), []).append(path)
    return groups


def _hours(
    geolocator: Geolocator, files: Sequence[Path], refused: list[AskedImage]
) -> dict[Path, float]:
    times: dict[Path, datetime] = {}
    for path in files:
        key = FileKey.of(path)
        try:
            found = photo_time(read_limited(path))
        except ImageError:
            found = None
        if found is not None:
            times[path] = found
            continue
        # What is no image at all is refused as that, and not for want of a time.
        opened = geolocator.stages.prepare_or_refuse(path, str(path))
        no_time = Refusal(source=str(path), message=_NO_TIME, kind="no_time")
        refused.append(
            AskedImage(key=key, result=opened if isinstance(opened, Refusal) else no_time)
        )
    return dict(zip(times, hours_between(list(times.values())), strict=True)) if times else {}


def _embedded(
    geolocator: Geolocator,
    files: Sequence[Path],
    refused: list[AskedImage],
    *,
    batch_size: int,
    workers: int,
) -> _Embedded:
    """The images that can be used, without their pixels: a group may be large."""
    if batch_size < 1 or workers < 0:
        raise ConfigError("batch size must be at least 1, and workers at least 0")
    stages = geolocator.stages

    def opened(path: Path) -> tuple[Path, PreparedImage | Refusal]:
        return path, stages.prepare_or_refuse(path, str(path))

    paths: list[Path] = []
    images: list[PreparedImage] = []
    vectors = [stages.embed([])]
    prepared = done_ahead(files, opened, workers=workers, ahead=2 * batch_size)
    while batch := list(islice(prepared, batch_size)):
        good = [(path, image) for path, image in batch if isinstance(image, PreparedImage)]
        refused += [
            AskedImage(key=FileKey.of(path), result=image)
            for path, image in batch
            if isinstance(image, Refusal)
        ]
        vectors.append(stages.embed([image for _, image in good]))
        paths += [path for path, _ in good]
        images += [replace(image, pixels=image.pixels[:, :0, :0]) for _, image in good]
    return _Embedded(paths=tuple(paths), images=tuple(images), vectors=torch.cat(vectors))
