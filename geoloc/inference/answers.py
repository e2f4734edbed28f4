"""What a query gives back: an Answer with its places, or a Refusal of one bad input."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceAnswer:
    """One place where the image may have been taken.

    Attributes:
        latlon_deg: latitude and longitude in degrees.
        score: cosine of the embeddings of image and place, in -1..1; under other modes than
            image → place, and with CSLS, the score of `geoloc.retrieval.Candidates`.
        probability: softmax of the scaled scores over the **whole** gallery (exact duplicates of
            a place are dropped when a gallery is built), not over the places returned. The
            returned places therefore sum to less than one; the rest lies on the other places.
        city: nearest place of the gazetteer by great circle, however far.
        city_km: great-circle distance to that city's coordinates, in km.
        region: first-level administrative area that holds the point, None at sea.
        country_code: ISO 3166-1 alpha-2 code of the country that holds the point, None at sea.
        country: its English name, None at sea.
        reference: key of the reference image that answered; None for a place of a gallery.
    """

    latlon_deg: tuple[float, float]
    score: float
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
class Answer:
    """Where one image may have been taken, best place first.

    Attributes:
        source: the file, or the image's position in its batch ("image 3").
        places: the best places, by falling score.
        model: fingerprint of the model that answered.
        gallery: name of the gallery of places that was searched.
        radius_km: the true place lies so near to the first place with probability
            `radius_level`; None where the run is not calibrated (`geoloc calibrate`).
        radius_level: that probability, which is promised for images like those that the run was
            calibrated on.
    """

    source: str
    places: tuple[PlaceAnswer, ...]
    model: str
    gallery: str
    radius_km: float | None = None
    radius_level: float | None = None


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
