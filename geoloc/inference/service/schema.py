"""The documents of the service as pydantic models: what OpenAPI says of them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError

from geoloc.inference.service.failures import malformed

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Kilometres = Annotated[float, Field(ge=0.0)]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")


class UnrankedPlace(_Document):
    """One place where the image may have been taken; score is null in coarse answers."""

    latitude_deg: Annotated[float, Field(ge=-90.0, le=90.0)]
    longitude_deg: Annotated[float, Field(ge=-180.0, le=180.0)]
    score: float | None
    probability: Share
    city: str
    city_km: Kilometres
    region: str | None
    country_code: str | None
    country: str | None
    reference: str | None


class Place(UnrankedPlace):
    """One of the places of an answer, counted from the best."""

    rank: Annotated[int, Field(ge=1)]


class Radius(_Document):
    """The true place lies within km of the first place with probability level."""

    level: Share
    km: Kilometres
    calibrated: bool


class CountryShare(_Document):
    """How probable a country is; code is null at sea."""

    code: str | None
    name: str
    probability: Share


class RegionShare(_Document):
    """How probable a first-level administrative area is; code is null at sea."""

    code: str | None
    name: str
    country_code: str | None
    probability: Share


class HeatCells(_Document):
    """The posterior by cells of cell_deg: south, west (degrees), probability."""

    cell_deg: Annotated[float, Field(gt=0.0)]
    cells: list[tuple[float, float, float]]


class Explained(_Document):
    """Which part of an image moved its answer: see docs/explanations.md."""

    schema_version: Literal[1]
    source: str
    cells: Annotated[int, Field(ge=2)]
    seen: tuple[Share, Share, Share, Share]
    patch: Share
    effect: list[list[float]]
    moved_km: list[list[Kilometres]]
    near_km: Kilometres
    near_probability: Share
    noise: Annotated[float, Field(ge=0.0)]
    agreement: Annotated[float, Field(ge=-1.0, le=1.0)]
    reliable: bool
    words: str
    answer: UnrankedPlace
    strongest: tuple[int, int]
    without_strongest: UnrankedPlace
    passes: Annotated[int, Field(ge=1)]
    model: str
    gallery: str
    training: None


class Measured(_Document):
    """How the run did on images with known places."""

    split: str
    protocol: str
    images: int
    median_km: Kilometres


class BasisOfAnswer(_Document):
    """What an answer rests on."""

    model: str
    run: str | None
    gallery: str
    gallery_places: Annotated[int, Field(ge=1)]
    decoding: str
    calibrated: bool
    protocol: str
    trained: str | None
    version: str
    measured: list[Measured]


class AnswerDocument(_Document):
    """Where one image may have been taken, best place first."""

    source: str
    places: list[Place]
    apart_km: Kilometres
    radii: list[Radius]
    countries: list[CountryShare]
    regions: list[RegionShare]
    abstain: bool
    doubts: list[str]
    heat: HeatCells | None
    basis: BasisOfAnswer


class RefusalDocument(_Document):
    """One image that could not be answered."""

    source: str
    kind: str
    message: str


class Document(_Document):
    """Answers and refusals, each in the order of the request's images."""

    schema_version: Literal[2]
    answers: list[AnswerDocument]
    refusals: list[RefusalDocument]


class ErrorText(_Document):
    """Why a request was not answered."""

    kind: str
    message: str


class ErrorDocument(_Document):
    """A request that was not answered."""

    error: ErrorText


class Texts(BaseModel):
    """A question in words: where would images with such captions have been taken?"""

    model_config = ConfigDict(extra="forbid", strict=True)

    # Without it each wrong element would have an error of its own.
    texts: Annotated[list[str], FailFast()]
    top_k: int = 5


def read_texts(data: bytes) -> Texts:
    """A question in words from its JSON.

    Raises:
        RequestError: 400, naming the key that is wrong.
    """
    try:
        return Texts.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"] if part in Texts.model_fields)
        raise malformed(f"{where or 'the body'}: {first['msg']}") from None


class Limits(_Document):
    """What a request may ask for."""

    request_megabytes: float
    megapixels: float
    images: int
    texts: int
    text_characters: int
    top_k: int


class About(_Document):
    """What answers rest on, and what may be asked."""

    basis: BasisOfAnswer
    limits: Limits
    coarse_km: Kilometres
    explain: bool
    texts: bool
    version: str


class State(_Document):
    """Whether the service is alive, or ready."""

    status: str
