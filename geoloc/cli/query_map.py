"""The answers of `geoloc query` on a map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from geoloc.cli.query_truths import Truths, truth_of

if TYPE_CHECKING:
    from PIL import Image

    from geoloc.inference import Answer, PlaceAnswer
    from geoloc.inference.asking import AskedImage


@dataclass(frozen=True, slots=True)
class _Noted:
    source: str
    places: tuple[PlaceAnswer, ...]
    notes: tuple[str, ...]


def draw_map(path: Path, several: Sequence[AskedImage], truths: Truths, *, cards: int) -> None:
    """Write a page or a picture of the answers, with their true or cameras' places where known.

    Args:
        path: .html or .png.
        several: images with answers.
        truths: true places by names of files; they come before the cameras'.
        cards: images that a page shows with photo and maps.
    """
    from geoloc.inference import Answer
    from geoloc.inference.answer_text import notes_text
    from geoloc.viz import draw_query_map, write_query_page

    answers = [each.result for each in several if isinstance(each.result, Answer)]
    known = [
        truth_of(each.result.source, truths) or (each.camera and each.camera.latlon_deg)
        for each in several
    ]
    if path.suffix.lower() == ".html":
        images = [_picture(answer) for answer in answers[:cards]]
        write_query_page(
            [_Noted(answer.source, answer.places, notes_text(answer)) for answer in answers],
            path,
            title="Where were these taken?",
            images=[*images, *([None] * (len(answers) - len(images)))],
            truths_deg=known,
            cards=cards,
        )
    elif len(answers) == 1:
        draw_query_map(answers[0], path, truth_deg=known[0], image=_picture(answers[0]))
    else:
        draw_query_map(answers, path)


def _picture(answer: Answer) -> Image.Image | None:
    """The image of an answer, None for an answer of several together."""
    from geoloc.errors import ImageError
    from geoloc.inference.pictures import open_picture

    try:
        return open_picture(Path(answer.source), name=answer.source)
    except ImageError:
        return None
