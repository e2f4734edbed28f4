"""The documents of the service as pydantic models: what OpenAPI says of them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Kilometres = Annotated[float, Field(ge=0.0)]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Place(_Document):
    """One place where the image may have been taken; score is null in coarse answers."""

    rank: Annotated[int, Field(ge=1)]
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

    texts: list[str]
    top_k: int = 5


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
