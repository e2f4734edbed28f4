"""Retrieval: galleries of places with their embeddings, and the search among them."""

from geoloc.retrieval.embed import Embedded, embed_stream
from geoloc.retrieval.faiss_index import FaissFlatIndex
from geoloc.retrieval.gallery import Gallery, places_fingerprint
from geoloc.retrieval.index import ExactIndex, NearestIndex, Ranking
from geoloc.retrieval.places_sources import distinct_places, merge_places, places_from_csv
from geoloc.retrieval.ranks import own_place_ranks

__all__ = [
    "Embedded",
    "ExactIndex",
    "FaissFlatIndex",
    "Gallery",
    "NearestIndex",
    "Ranking",
    "distinct_places",
    "embed_stream",
    "merge_places",
    "own_place_ranks",
    "places_fingerprint",
    "places_from_csv",
]
