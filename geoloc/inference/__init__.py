"""Asking a trained model where images were taken, and writing its answers down."""

from geoloc.inference.answers import (
    Answer,
    AreaShare,
    Basis,
    CredibleRadius,
    Heat,
    MeasuredSplit,
    PlaceAnswer,
    Refusal,
)
from geoloc.inference.formats import (
    AnswerFormat,
    format_answers,
    to_csv,
    to_geojson,
    to_json,
    to_text,
)
from geoloc.inference.geolocator import Geolocator
from geoloc.inference.pictures import ImageLike
from geoloc.inference.runs import newest_run
from geoloc.inference.trip import Travel

__all__ = [
    "Answer",
    "AnswerFormat",
    "AreaShare",
    "Basis",
    "CredibleRadius",
    "Geolocator",
    "Heat",
    "ImageLike",
    "MeasuredSplit",
    "PlaceAnswer",
    "Refusal",
    "Travel",
    "format_answers",
    "newest_run",
    "to_csv",
    "to_geojson",
    "to_json",
    "to_text",
]
