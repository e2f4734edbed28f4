"""Retrieval: galleries of places with their embeddings, and the search among them."""

from geoloc.retrieval.embed import Embedded, embed_stream
from geoloc.retrieval.faiss_index import FaissIndex
from geoloc.retrieval.gallery import Gallery, is_gallery_name, places_fingerprint
from geoloc.retrieval.index import ExactIndex, NearestIndex, Ranking
from geoloc.retrieval.index_files import (
    embeddings_fingerprint,
    load_index,
    load_or_build_index,
    save_index,
)
from geoloc.retrieval.index_kinds import build_index
from geoloc.retrieval.index_spec import INDEX_KINDS, IndexSpec, parse_index
from geoloc.retrieval.mapped_candidates import MappedCandidates
from geoloc.retrieval.places_sources import distinct_places, places_from_csv
from geoloc.retrieval.ranks import own_place_ranks

__all__ = [
    "INDEX_KINDS",
    "Embedded",
    "ExactIndex",
    "FaissIndex",
    "Gallery",
    "IndexSpec",
    "MappedCandidates",
    "NearestIndex",
    "Ranking",
    "build_index",
    "distinct_places",
    "embed_stream",
    "embeddings_fingerprint",
    "is_gallery_name",
    "load_index",
    "load_or_build_index",
    "own_place_ranks",
    "parse_index",
    "places_fingerprint",
    "places_from_csv",
    "save_index",
]
