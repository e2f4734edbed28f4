"""What a query gives back: an Answer with its places, or a Refusal of one bad input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Doubt: TypeAlias = Literal["flat_posterior", "unfamiliar", "not_a_photograph"]
"""Why a model should not be believed: see `geoloc.inference.doubts`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceAnswer:
    """One place where the image may have been taken.

    Attributes:
        latlon_deg: latitude and longitude in degrees.
        score: cosine of the embeddings of image and place, in -1..1; under other modes than
            image → place, and with CSLS, the score of `geoloc.retrieval.Candidates`; of several
            images together the mean. None in coarse answers (`geoloc.inference.coarseness`).
        probability: that the image was taken around here: softmax of the scaled scores over the
            **whole** gallery, summed over the gallery's places within `Answer.apart_km` of this
            one that belong to no better place of the answer. The places of an answer therefore
            sum to less than one; the rest lies elsewhere.
        city: nearest place of the gazetteer by great circle, however far.
        city_km: great-circle distance to that city's coordinates, in km.
        region: first-level administrative area that holds the point, None at sea.
        country_code: ISO 3166-1 alpha-2 code of the country that holds the point, None at sea.
        country: its English name, None at sea.
        reference: key of the reference image that answered; None for a place of a gallery.
    """

    latlon_deg: tuple[float, float]
    score: float | None
    probability: float
    city: str
    city_km: float
    region: str | None
    country_code: str | None
    country: str | None
    reference: str | None = None

    @property
    def name(self) -> str:
        """The place in words: city (or its distance), region and country, without repetition."""
        near = self.city if self.city_km < 50.0 else f"{self.city_km:.0f} km from {self.city}"
        parts = [near, self.region or "", self.country or "at sea"]
        return ", ".join(dict.fromkeys(part for part in parts if part))


@dataclass(frozen=True, slots=True, kw_only=True)
class CredibleRadius:
    """The true place lies so near to the first place with a probability.

    Attributes:
        level: that probability.
        km: great-circle distance, at most half a turn of the Earth.
        calibrated: whether the level was fitted on images that the model was not trained on
            (`geoloc calibrate`), and so holds for images like those; otherwise it is what the
            model's own softmax says, which nobody has checked.
    """

    level: float
    km: float
    calibrated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AreaShare:
    """How probable a country, or a region of one, is.

    The gallery's places inside it count by their softmax, so that an area is as probable as the
    gallery lets it be: one without a place in the gallery has no share.

    Attributes:
        code: ISO 3166-1 alpha-2 of a country, ISO 3166-2 (or Natural Earth's stand-in) of a
            region; None at sea.
        name: English name; ``"at sea"`` there.
        probability: in 0..1.
        country_code: of a region's country; None for countries and at sea.
    """

    code: str | None
    name: str
    probability: float
    country_code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Heat:
    """The probability of a gallery's places, summed over cells of equal latitude and longitude.

    Attributes:
        cell_deg: side of a cell.
        cells: (southern edge, western edge, probability) by falling probability, in degrees; cells
            below a thousandth of the first are left out.
        coarse_km: places were moved to the centres of cells of this size first; 0 where not.
    """

    cell_deg: float
    cells: tuple[tuple[float, float, float], ...]
    coarse_km: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredSplit:
    """How a run did on images with known places, as `geoloc evaluate` measured it.

    Attributes:
        split: name of the test split.
        protocol: that distances were measured by.
        images: how many there were.
        median_km: half of the answers of the run's default gallery lay nearer to the truth.
    """

    split: str
    protocol: str
    images: int
    median_km: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """What an answer rests on.

    Attributes:
        model: fingerprint of the model that answered.
        run: name of the run that trained it, where it came from one.
        gallery: name of the gallery of places that was searched.
        gallery_places: how many places it holds: an answer can be no other (but see `decoding`).
        decoding: how the first place follows from the gallery's hits.
        calibrated: whether probabilities come from a fitted temperature.
        protocol: how probabilities and radii were got, in words.
        trained: date and time (ISO 8601) at which training ended, where that is known.
        measured: what the run is known to reach.
        version: of geoloc.
    """

    model: str
    gallery: str
    gallery_places: int
    decoding: str
    calibrated: bool
    protocol: str
    version: str
    run: str | None = None
    trained: str | None = None
    measured: tuple[MeasuredSplit, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Where one image may have been taken, best place first.

    Attributes:
        source: the file, or the image's position in its batch ("image 3").
        places: the best places, by falling score, no two within `apart_km` of each other; fewer
            than asked for where the gallery has no more such places among its best 4,096.
        apart_km: how far places of one answer lie apart at least, and how far around it a place
            gathers probability.
        radii: around the first place, by rising level.
        countries: the most probable, by falling probability, at most ten; sea is one of them.
        regions: likewise.
        doubts: reasons not to believe the answer; empty for most photographs that the model knows.
        basis: what the answer rests on.
        heat: the posterior over the globe, where it was asked for.
    """

    source: str
    places: tuple[PlaceAnswer, ...]
    apart_km: float
    radii: tuple[CredibleRadius, ...]
    countries: tuple[AreaShare, ...]
    regions: tuple[AreaShare, ...]
    doubts: tuple[Doubt, ...]
    basis: Basis
    heat: Heat | None = None

    @property
    def abstain(self) -> bool:
        """Whether one should rather say "not known" than pass the first place on."""
        return bool(self.doubts)

    @property
    def model(self) -> str:
        """Fingerprint of the model that answered."""
        return self.basis.model

    @property
    def gallery(self) -> str:
        """Name of the gallery of places that was searched."""
        return self.basis.gallery


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One input that could not be answered, and why.

    Attributes:
        source: the file, or the image's position in its batch.
        message: what is wrong, in one line, without the source.
        kind: a short word for counting, such as ``"truncated"`` or ``"no_such_file"``.
    """

    source: str
    message: str
    kind: str
