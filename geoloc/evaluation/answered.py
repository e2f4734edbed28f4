"""A split with a gallery's answers: what calibration is fitted on and measured on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64, Shaped
from torch import Tensor

from geoloc.errors import DataError
from geoloc.evaluation.metrics import nearest_place_index
from geoloc.geodesy import great_circle_km
from geoloc.places import Areas
from geoloc.retrieval import Embedded, ExactIndex, Gallery, NearestIndex

AT_SEA = "at sea"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AnsweredSplit:
    """The samples of a split, and the place of a gallery that a model answered to each.

    Attributes:
        query: embeddings of the images, of length one, on the device of `place`.
        place: embeddings of the gallery's places.
        gallery_deg: those places.
        true_deg: the true places.
        nearest_deg: the gallery's place nearest to each of them.
        answer_deg: the gallery's place of highest cosine.
    """

    query: Float32[Tensor, "query embedding"]
    place: Float32[Tensor, "place embedding"]
    gallery_deg: Float64[np.ndarray, "place 2"]
    true_deg: Float64[np.ndarray, "query 2"]
    nearest_deg: Float64[np.ndarray, "query 2"]
    answer_deg: Float64[np.ndarray, "query 2"]

    def __len__(self) -> int:
        return len(self.true_deg)

    def rows(self, index: Int64[np.ndarray, " row"]) -> AnsweredSplit:
        """Some of the samples, with the whole gallery."""
        return replace(
            self,
            query=self.query[torch.from_numpy(index).to(self.query.device)],
            true_deg=self.true_deg[index],
            nearest_deg=self.nearest_deg[index],
            answer_deg=self.answer_deg[index],
        )

    @property
    def distance_km(self) -> Float64[np.ndarray, " query"]:
        """From each answer to the true place."""
        return great_circle_km(self.answer_deg, self.true_deg)

    @property
    def best_score(self) -> Float64[np.ndarray, " query"]:
        """The cosine of each image and its answer."""
        best = [(rows @ self.place.T).amax(dim=1) for rows in self.query.split(256)]
        return torch.cat(best).double().cpu().numpy()

    def reach(self, radius_km: float) -> float:
        """Share of true places with a place of the gallery within a radius."""
        return float((great_circle_km(self.nearest_deg, self.true_deg) <= radius_km).mean())


def answer_split(
    embedded: Embedded,
    gallery: Gallery,
    *,
    index: NearestIndex | None = None,
    device: torch.device | str = "cpu",
) -> AnsweredSplit:
    """The answers of a gallery to a split.

    Args:
        embedded: the split's samples, embedded by the gallery's model.
        gallery: the places that an answer can be.
        index: searches `gallery.embedding`; exact search by default.
        device: where queries and places are compared.
    """
    place = gallery.embedding.to(device)
    index = index or ExactIndex(place)
    query = embedded.embedding.to(device)
    best = index.search(query, 1).index[:, 0].cpu().numpy()
    nearest = nearest_place_index(embedded.latlon_deg, gallery.latlon_deg)
    return AnsweredSplit(
        query=query,
        place=place,
        gallery_deg=gallery.latlon_deg,
        true_deg=embedded.latlon_deg,
        nearest_deg=gallery.latlon_deg[nearest],
        answer_deg=gallery.latlon_deg[best],
    )


def split_fingerprint(embedded: Embedded) -> str:
    """SHA-256 of a split's keys and true places, whatever their order."""
    return hashlib.sha256("\n".join(sorted(_samples(embedded))).encode()).hexdigest()


def refuse_shared_samples(fitted: Embedded, tested: Embedded, *, fitted_on: str, name: str) -> None:
    """Refuse a test split that holds samples which a calibration was fitted on.

    Raises:
        DataError: a sample of one key and place is in both.
    """
    shared = len(set(_samples(fitted)) & set(_samples(tested)))
    if shared:
        raise DataError(
            f"{shared:,} of the {len(tested):,} samples of {name} are in {fitted_on} too, which "
            "the calibration is fitted on: test on others (--test) or fit on others (--validation)"
        )


def continents(latlon_deg: Float64[np.ndarray, "row 2"]) -> Shaped[np.ndarray, " row"]:
    """Two letters of the continent that holds each place, or "at sea"."""
    found = Areas.load().locate(latlon_deg).continent
    return np.array([name or AT_SEA for name in found], dtype=object)


def _samples(embedded: Embedded) -> list[str]:
    places = embedded.latlon_deg.round(7).tolist()
    return [f"{key} {lat} {lon}" for key, (lat, lon) in zip(embedded.key, places, strict=True)]
