"""Retrieval: galleries of places with their embeddings, and the search among them."""

from geoloc.retrieval.embed import Embedded, embed_stream
from geoloc.retrieval.faiss_index import FaissFlatIndex
from geoloc.retrieval.gallery import Gallery, is_gallery_name, places_fingerprint
from geoloc.retrieval.index import ExactIndex, NearestIndex, Ranking
from geoloc.retrieval.index_kinds import IndexKind, build_index
from geoloc.retrieval.places_sources import distinct_places, places_from_csv
from geoloc.retrieval.ranks import own_place_ranks

__all__ = [
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
    "is_gallery_name",
    "own_place_ranks",
    "places_fingerprint",
    "places_from_csv",
]
