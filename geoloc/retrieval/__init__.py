"""Retrieval: galleries of places with their embeddings, and the search among them."""

from geoloc.retrieval.candidates import Candidates, load_references, unseen_cosine
from geoloc.retrieval.cell_first import CellFirstIndex, CellScore
from geoloc.retrieval.csls import nearness_to_queries
from geoloc.retrieval.embed import Embedded, embed_stream
from geoloc.retrieval.faiss_index import FaissIndex
from geoloc.retrieval.gallery import Gallery, is_gallery_name, places_fingerprint
from geoloc.retrieval.hubness import Hubness, hubness
from geoloc.retrieval.index import ExactIndex, NearestIndex, Ranking
from geoloc.retrieval.index_files import (
    embeddings_fingerprint,
    load_index,
    load_or_build_index,
    save_index,
)
from geoloc.retrieval.index_kinds import build_index
from geoloc.retrieval.index_spec import INDEX_KINDS, IndexSpec, parse_index
from geoloc.retrieval.mapped_vectors import MappedVectors
from geoloc.retrieval.offset_index import OffsetIndex
from geoloc.retrieval.places_sources import (
    PLACE_FILES,
    distinct_places,
    grouped_places_from_file,
    places_from_file,
    save_places,
)
from geoloc.retrieval.ranks import own_place_ranks
from geoloc.retrieval.spatial_vote import SpatialVoteIndex

__all__ = [
    "INDEX_KINDS",
    "PLACE_FILES",
    "Candidates",
    "CellFirstIndex",
    "CellScore",
    "Embedded",
    "ExactIndex",
    "FaissIndex",
    "Gallery",
    "Hubness",
    "IndexSpec",
    "MappedVectors",
    "NearestIndex",
    "OffsetIndex",
    "Ranking",
    "SpatialVoteIndex",
    "build_index",
    "distinct_places",
    "embed_stream",
    "embeddings_fingerprint",
    "grouped_places_from_file",
    "hubness",
    "is_gallery_name",
    "load_index",
    "load_or_build_index",
    "load_references",
    "nearness_to_queries",
    "own_place_ranks",
    "parse_index",
    "places_fingerprint",
    "places_from_file",
    "save_index",
    "save_places",
    "unseen_cosine",
]
