"""Continuous decoding: answers between the places of a gallery, by name of the method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from geoloc.errors import ConfigError
from geoloc.inference.place_field import PlaceField
from geoloc.inference.posterior import gallery_mean, lattice_mean
from geoloc.inference.refinement import distinct_starts, refine_places
from geoloc.inference.score_kriging import krige_scores

Decoding: TypeAlias = Literal["argmax", "posterior", "refined", "kriging", "gallery-mean"]
"""``argmax`` answers with the best place of the gallery; the others with a place near it."""

DECODINGS: tuple[Decoding, ...] = get_args(Decoding)
"""All names."""

STARTS_AMONG = 10
"""Hits that `refined` chooses its starts from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodingSettings:
    """How the methods are set; the defaults were chosen on a validation split.

    Attributes:
        sharpness: factor on the model's logits in a posterior mean.
        radius_km: of the disc that a posterior mean is taken over; None is twice the spacing of the
            gallery around the hit.
        rings: steps of a lattice from its centre to its rim.
        neighbours: places of the gallery that are looked at around a hit.
        starts: hits that a refinement starts from.
        steps: of Adam.
    """

    sharpness: float = 5.0
    radius_km: float | None = None
    rings: int = 8
    neighbours: int = 48
    starts: int = 3
    steps: int = 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decoded:
    """One place a query, on the CPU.

    Attributes:
        latlon_deg: the places.
        score: cosines of query and place.
    """

    latlon_deg: Float64[Tensor, "query 2"]
    score: Float64[Tensor, " query"]


def check_decoding(name: str) -> Decoding:
    """The decoding of that name.

    Raises:
        ConfigError: there is none.
    """
    for known in DECODINGS:
        if name == known:
            return known
    raise ConfigError(f"no decoding {name!r}: choose {', '.join(DECODINGS)}")


def decode_places(
    decoding: Decoding,
    field: PlaceField,
    query: Float[Tensor, "query embedding"],
    hits: Int64[Tensor, "query rank"],
    *,
    settings: DecodingSettings | None = None,
) -> Decoded:
    """The answer to each query near its best hits.

    Args:
        decoding: which method.
        field: gallery and encoder.
        query: unit vectors, on the encoder's device.
        hits: the best rows of the gallery for each query, best first; `refined` looks at more than
            the first.
        settings: of the method.
    """
    chosen = settings or DecodingSettings()
    # a refinement takes gradients, also of what was made where none are kept
    with torch.inference_mode(False):
        query, hits = query.detach().clone(), hits.detach().clone()
        return _decoded(decoding, field, query, hits, chosen=chosen)


def _decoded(
    decoding: Decoding,
    field: PlaceField,
    query: Tensor,
    hits: Tensor,
    *,
    chosen: DecodingSettings,
) -> Decoded:
    best = hits[:, 0].cpu()
    if not len(best):
        decoding = "argmax"
    match decoding:
        case "argmax":
            place = field.latlon_deg[best]
        case "posterior":
            place = lattice_mean(
                field,
                query,
                best,
                sharpness=chosen.sharpness,
                radius_km=chosen.radius_km,
                rings=chosen.rings,
            )
        case "gallery-mean":
            place = gallery_mean(
                field,
                query,
                best,
                sharpness=chosen.sharpness,
                radius_km=chosen.radius_km,
                neighbours=chosen.neighbours,
            )
        case "kriging":
            place = krige_scores(
                field, query, best, neighbours=chosen.neighbours, rings=chosen.rings
            )
        case "refined":
            start = distinct_starts(field, hits[:, :STARTS_AMONG], starts=chosen.starts)
            place, score = refine_places(field, query, start, steps=chosen.steps)
            return Decoded(latlon_deg=place, score=score)
    with torch.no_grad():
        score = field.scores(query, place[:, None])[:, 0].cpu()
    return Decoded(latlon_deg=place, score=score)
