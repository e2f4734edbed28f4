"""Answerer: from embeddings of queries to answers that say how sure they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from geoloc.evaluation.calibration_file import Calibration
from geoloc.geodesy import unit_vectors
from geoloc.inference.answers import Answer, Basis, Doubt, Heat
from geoloc.inference.area_shares import AreaShares
from geoloc.inference.basis import uncalibrated
from geoloc.inference.continuous import STARTS_AMONG, Decoded, Decoding, decode_places
from geoloc.inference.doubts import doubts_of, flat_posteriors, is_unfamiliar
from geoloc.inference.gallery_posterior import GalleryPosterior
from geoloc.inference.heat import HeatGrid
from geoloc.inference.naming import named_places
from geoloc.inference.place_field import PlaceField
from geoloc.inference.ranked_places import Search, rank_places
from geoloc.inference.resolution import median_spacing_km, resolution_km
from geoloc.inference.sureness import answer_radii
from geoloc.retrieval import Candidates, NearestIndex

# Posteriors of so many places in all are held at a time.
_HELD = 16_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerDetail:
    """What an answer shall hold.

    Attributes:
        top_k: how many places at most.
        apart_km: how far they lie apart at least, and how far around a place probability is
            gathered; 0 takes the gallery's places as they are.
        heat: whether the posterior over the globe is wanted.
        heat_km: `coarse_km` of its cells (`HeatGrid.of`).
    """

    top_k: int
    apart_km: float
    heat: bool
    heat_km: float = 0.0


class Asked(TypedDict, total=False):
    """`AnswerDetail` as keyword arguments."""

    top_k: int
    apart_km: float | None
    heat: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is asked about.

    Attributes:
        name: what it is called.
        photograph: whether it may be a photograph (see `geoloc.inference.doubts`).
    """

    name: str
    photograph: bool = True


@dataclass(frozen=True, kw_only=True, eq=False)
class Answerer:
    """Ranks candidates, moves the first between places, and says how sure it is.

    Attributes:
        candidates: what queries are compared with, on the model's device.
        index: ranks them; None ranks them by their scores, all of which a posterior needs anyway.
        scale: the model's factor on cosines.
        encode: from places in degrees to unit vectors, differentiable.
        basis: of the answers.
        decoding: how the first place follows from the hits.
        calibration: of the model and the candidates' places; None where there is none.
        cache: folder that keeps the areas of the candidates.
    """

    candidates: Candidates
    index: NearestIndex | None
    scale: float
    encode: Callable[[Tensor], Tensor]
    basis: Basis
    decoding: Decoding = "argmax"
    calibration: Calibration | None = None
    cache: Path | None = None

    def answers(
        self,
        queries: Sequence[Query],
        query: Float[Tensor, "query embedding"],
        detail: AnswerDetail,
        *,
        photographs: bool = True,
    ) -> list[Answer]:
        """One answer a query.

        Args:
            queries: what is asked about.
            query: unit vectors on the candidates' device.
            detail: what the answers shall hold.
            photographs: whether queries are such as the calibration was made with; what it knows
                does not hold for words.
        """
        known = self.calibration if photographs else None
        basis = self.basis if known is self.calibration else uncalibrated(self.basis)
        together = max(1, _HELD // len(self.candidates))
        told: list[Answer] = []
        for start in range(0, len(queries), together):
            some = query[start : start + together]
            posterior = self.posterior(some, calibration=known)
            search = posterior.by_score if self.index is None else partial(self._search, some)
            told += self.describe(
                queries[start : start + together],
                posterior,
                search,
                detail,
                moved=self._moved(some, search),
                calibration=known,
                basis=basis,
            )
        return told

    def pooled_answer(
        self,
        query: Query,
        pooled: Float[Tensor, "1 embedding"],
        detail: AnswerDetail,
        *,
        images: float,
    ) -> Answer:
        """One answer for the mean of several images' embeddings.

        Args:
            query: what is asked about.
            pooled: the mean.
            detail: what the answer shall hold.
            images: how many independent images it stands for.
        """
        posterior = self.posterior(pooled, calibration=self.calibration, images=images)
        search = posterior.by_score
        moved = self._moved(pooled, search)
        return self.describe([query], posterior, search, detail, moved=moved)[0]

    def posterior(
        self,
        query: Float[Tensor, "query embedding"],
        *,
        calibration: Calibration | None = None,
        images: float = 1.0,
    ) -> GalleryPosterior:
        """The probability of every candidate.

        Args:
            query: unit vectors, or the mean of several.
            calibration: gives the temperature; None takes the model's own.
            images: how many independent images the query stands for.
        """
        return GalleryPosterior.of(
            query,
            self.candidates.embedding,
            scale=images * (self.scale if calibration is None else calibration.scale),
            offset=self.candidates.offset,
        )

    def describe(
        self,
        queries: Sequence[Query],
        posterior: GalleryPosterior,
        search: Search,
        detail: AnswerDetail,
        *,
        moved: Decoded | None = None,
        calibration: Calibration | None = None,
        basis: Basis | None = None,
    ) -> list[Answer]:
        """Posteriors in words.

        Args:
            queries: what is asked about.
            posterior: of each.
            search: gives the hits of each.
            detail: what the answers shall hold.
            moved: first places that are others than the best hits.
            calibration: that holds for these posteriors; its radii are of unmoved answers.
            basis: where it is another than the answerer's.
        """
        ranked = rank_places(
            search,
            posterior,
            self.candidates.latlon_deg,
            unit=self._unit,
            top_k=detail.top_k,
            apart_km=detail.apart_km,
            moved=moved,
        )
        first_deg = np.stack([each.latlon_deg[0] for each in ranked])
        known = calibration if moved is None else None
        radii = answer_radii(
            known, posterior.probability, first_deg, self._unit, least_km=self._spacing_km
        )
        doubts = self._doubts(queries, posterior, first_deg, calibration)
        heats = self._heats_of(posterior, detail)
        return [
            Answer(
                source=query.name,
                places=places,
                apart_km=detail.apart_km,
                radii=within,
                countries=countries,
                regions=regions,
                doubts=doubted,
                basis=basis or self.basis,
                heat=heat,
            )
            for query, places, within, doubted, (countries, regions), heat in zip(
                queries,
                named_places(ranked, self.candidates.reference_key),
                radii,
                doubts,
                self._areas.shares(posterior.probability),
                heats,
                strict=True,
            )
        ]

    def _doubts(
        self,
        queries: Sequence[Query],
        posterior: GalleryPosterior,
        first_deg: Float64[np.ndarray, "query 2"],
        calibration: Calibration | None,
    ) -> list[tuple[Doubt, ...]]:
        flat = flat_posteriors(posterior.probability, first_deg, self._unit)
        best = posterior.score.amax(dim=1).tolist()
        return [
            doubts_of(
                flat=far,
                unfamiliar=is_unfamiliar(calibration, score),
                photograph=query.photograph,
            )
            for query, far, score in zip(queries, flat, best, strict=True)
        ]

    def _heats_of(self, posterior: GalleryPosterior, detail: AnswerDetail) -> list[Heat | None]:
        if not detail.heat:
            return [None] * len(posterior)
        if detail.heat_km not in self._grids:
            self._grids[detail.heat_km] = HeatGrid.of(self.candidates.latlon_deg, detail.heat_km)
        return [*self._grids[detail.heat_km].heats(posterior.probability)]

    def _search(self, query: Tensor, depth: int) -> Tensor:
        assert self.index is not None
        return torch.as_tensor(self.index.search(query, min(depth, len(self.candidates))).index)

    def _moved(self, query: Tensor, search: Search) -> Decoded | None:
        if self.decoding == "argmax":
            return None
        return decode_places(self.decoding, self._field, query, search(STARTS_AMONG))

    @cached_property
    def _field(self) -> PlaceField:
        return PlaceField(
            latlon_deg=torch.tensor(self.candidates.latlon_deg),
            embedding=self.candidates.embedding,
            encode=self.encode,
            scale=self.scale,
        )

    @cached_property
    def resolution_km(self) -> float:
        """See `geoloc.inference.resolution.resolution_km`, of the candidates."""
        return resolution_km(self._spacing_km)

    @cached_property
    def _spacing_km(self) -> float:
        return median_spacing_km(self.candidates.latlon_deg)

    @cached_property
    def _unit(self) -> Float64[np.ndarray, "place 3"]:
        return unit_vectors(self.candidates.latlon_deg)

    @cached_property
    def _areas(self) -> AreaShares:
        return AreaShares.of(self.candidates.latlon_deg, self.cache)

    @cached_property
    def _grids(self) -> dict[float, HeatGrid]:
        return {}
