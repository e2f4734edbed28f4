"""Images made ready for a model, or refused, one by one and on any thread."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float32
from torch import Tensor

from geoloc.data.transforms import preprocess
from geoloc.errors import ImageError
from geoloc.inference.answering import Query
from geoloc.inference.answers import Refusal
from geoloc.inference.doubts import is_photograph
from geoloc.inference.pictures import ImageLike, open_picture
from geoloc.models.image_encoder import ImagePreset


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedImage:
    """One image as the model takes it.

    Attributes:
        query: its name, and whether it can be a photograph.
        pixels: normalised as the model's preset says.
    """

    query: Query
    pixels: Float32[Tensor, "3 height width"]


def prepare_image(item: ImageLike, name: str, preset: ImagePreset) -> PreparedImage:
    """The image behind a path, bytes, a PIL image, an array or a tensor, ready for a model.

    Args:
        item: see `open_picture`.
        name: what answers and errors call it.
        preset: of the model.

    Raises:
        ImageError: it cannot be used.
    """
    picture = open_picture(item, name=name)
    query = Query(name=name, photograph=is_photograph(picture))
    return PreparedImage(query=query, pixels=preprocess(picture, preset))


def prepare_or_refuse(item: ImageLike, name: str, preset: ImagePreset) -> PreparedImage | Refusal:
    """As `prepare_image`, but an image that cannot be used gives a `Refusal`."""
    try:
        return prepare_image(item, name, preset)
    except ImageError as error:
        reason = str(error).removeprefix(f"{name}: ")
        return Refusal(source=name, message=reason, kind=error.kind)
