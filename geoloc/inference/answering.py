"""Answerer: from embeddings of queries to answers, with places between the candidates if asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from geoloc.evaluation.calibration_file import Calibration
from geoloc.inference.answers import Answer
from geoloc.inference.continuous import STARTS_AMONG, Decoding, decode_places, moved_first
from geoloc.inference.decoding import rank_places
from geoloc.inference.naming import named_places
from geoloc.inference.place_field import PlaceField
from geoloc.inference.sureness import answer_radii_km
from geoloc.retrieval import Candidates, NearestIndex


@dataclass(frozen=True, kw_only=True, eq=False)
class Answerer:
    """Ranks candidates, moves the first between places, and says how sure it is.

    Attributes:
        model: fingerprint of the model.
        candidates: what queries are compared with, on the model's device.
        index: ranks them.
        scale: the model's factor on cosines.
        encode: from places in degrees to unit vectors, differentiable.
        decoding: how the first place follows from the hits.
        calibration: of the model and the candidates' places; None where there is none.
    """

    model: str
    candidates: Candidates
    index: NearestIndex
    scale: float
    encode: Callable[[Tensor], Tensor]
    decoding: Decoding = "argmax"
    calibration: Calibration | None = None

    def answers(
        self,
        names: Sequence[str],
        query: Float[Tensor, "query embedding"],
        top_k: int,
        *,
        photographs: bool,
    ) -> list[Answer]:
        """One answer a query.

        Args:
            names: what the queries are called.
            query: unit vectors on the candidates' device.
            top_k: how many places an answer holds.
            photographs: whether queries are such as the calibration was made with; what it knows
                does not hold for words.
        """
        known = self.calibration if photographs else None
        ranked = rank_places(
            query,
            self.candidates.embedding,
            self.index,
            scale=self.scale if known is None else known.scale,
            top_k=top_k,
            offset=self.candidates.offset,
        )
        places_deg, reference = self.candidates.latlon_deg, self.candidates.reference_key
        radii_km: list[float | None] = [None] * len(names)
        if self.decoding == "argmax":
            radii_km = answer_radii_km(
                known, query, ranked, gallery=self.candidates.embedding, gallery_deg=places_deg
            )
        else:
            # The radius is of the gallery's own answer, not of one that has moved away from it.
            hits = self.index.search(query, STARTS_AMONG).index
            decoded = decode_places(self.decoding, self._field, query, hits)
            ranked, places_deg = moved_first(ranked, places_deg, decoded)
        places = named_places(ranked, places_deg, reference)
        return [
            Answer(
                source=name,
                places=best,
                model=self.model,
                gallery=self.candidates.name,
                radius_km=radius_km,
                radius_level=None if known is None or radius_km is None else known.level,
            )
            for name, best, radius_km in zip(names, places, radii_km, strict=True)
        ]

    @cached_property
    def _field(self) -> PlaceField:
        return PlaceField(
            latlon_deg=torch.tensor(self.candidates.latlon_deg),
            embedding=self.candidates.embedding,
            encode=self.encode,
            scale=self.scale,
        )
