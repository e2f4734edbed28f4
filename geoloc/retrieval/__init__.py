"""Retrieval: galleries of places with their embeddings, and the search among them."""

from geoloc.retrieval.candidates import Candidates, load_references, unseen_cosine
from geoloc.retrieval.csls import nearness_to_queries
from geoloc.retrieval.embed import Embedded, embed_stream
from geoloc.retrieval.faiss_index import FaissFlatIndex
from geoloc.retrieval.gallery import Gallery, is_gallery_name, places_fingerprint
from geoloc.retrieval.hubness import Hubness, hubness
from geoloc.retrieval.index import ExactIndex, NearestIndex, Ranking
from geoloc.retrieval.index_kinds import IndexKind, build_index
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
    "PLACE_FILES",
    "Candidates",
    "Embedded",
    "ExactIndex",
    "FaissFlatIndex",
    "Gallery",
    "Hubness",
    "IndexKind",
    "NearestIndex",
    "OffsetIndex",
    "Ranking",
    "SpatialVoteIndex",
    "build_index",
    "distinct_places",
    "embed_stream",
    "grouped_places_from_file",
    "hubness",
    "is_gallery_name",
    "load_references",
    "nearness_to_queries",
    "own_place_ranks",
    "places_fingerprint",
    "places_from_file",
    "save_places",
    "unseen_cosine",
]
