"""Retrieval: galleries of places with their embeddings, and the search among them."""

from geoloc.retrieval.embed import Embedded, embed_stream
from geoloc.retrieval.faiss_index import FaissFlatIndex
from geoloc.retrieval.gallery import Gallery, is_gallery_name, places_fingerprint
from geoloc.retrieval.index import ExactIndex, NearestIndex, Ranking
from geoloc.retrieval.index_kinds import IndexKind, build_index
from geoloc.retrieval.places_sources import (
    PLACE_FILES,
    distinct_places,
    grouped_places_from_file,
    places_from_file,
    save_places,
)
from geoloc.retrieval.ranks import own_place_ranks

__all__ = [
    "PLACE_FILES",
    "Embedded",
    "ExactIndex",
    "FaissFlatIndex",
    "Gallery",
    "IndexKind",
    "NearestIndex",
    "Ranking",
    "build_index",
    "distinct_places",
    "embed_stream",
    "grouped_places_from_file",
    "is_gallery_name",
    "own_place_ranks",
    "places_fingerprint",
    "places_from_file",
    "save_places",
]
