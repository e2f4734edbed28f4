"""From the embeddings of a split to a table of predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from geoloc.errors import DataError
from geoloc.evaluation.metrics import recall_at_k
from geoloc.evaluation.predictions import LABEL_COLUMNS
from geoloc.evaluation.strata_labels import METADATA_COLUMNS
from geoloc.retrieval import (
    Candidates,
    Embedded,
    ExactIndex,
    Gallery,
    NearestIndex,
    distinct_places,
    own_place_ranks,
)


def evaluate_split(
    embedded: Embedded,
    gallery: Gallery | Candidates,
    *,
    top_k: int = 5,
    index: NearestIndex | None = None,
) -> pd.DataFrame:
    """Predict a place for every sample: the gallery's place of highest cosine.

    Args:
        embedded: the split's samples, embedded by the gallery's model.
        gallery: the places that an answer can be, or other candidates of that model.
        top_k: how many places a row keeps (fewer when the gallery is smaller).
        index: searches the gallery's embeddings (or candidates); exact search by default.

    Returns:
        One row a sample, in the order of `embedded`: key, true and predicted place, score
        (cosine), the lists top_lat_deg, top_lon_deg, top_score, the labels unique_* and the
        `METADATA_COLUMNS` that any sample carries, and reference_key, the image that answered,
        where candidates have images.

    Raises:
        DataError: `index` holds another number of places than the gallery.
        ValueError: `top_k` is below 1, or embeddings differ in width.
    """
    found = Candidates.of_places(gallery) if isinstance(gallery, Gallery) else gallery
    index = index or found.index(ExactIndex)
    if len(index) != len(gallery):
        raise DataError(f"the index holds {len(index)} places, the gallery {len(gallery)}")
    ranking = index.search(embedded.embedding, top_k)
    best = ranking.index.cpu().numpy()
    top = gallery.latlon_deg[best]
    score = ranking.score.cpu().numpy().astype(np.float64)
    columns: dict[str, object] = {
        "key": list(embedded.key),
        "true_lat_deg": embedded.latlon_deg[:, 0],
        "true_lon_deg": embedded.latlon_deg[:, 1],
        "pred_lat_deg": top[:, 0, 0],
        "pred_lon_deg": top[:, 0, 1],
        "score": score[:, 0],
        "top_lat_deg": list(top[:, :, 0]),
        "top_lon_deg": list(top[:, :, 1]),
        "top_score": list(score),
    }
    if found.reference_key is not None:
        columns["reference_key"] = [found.reference_key[row] for row in best[:, 0]]
    for name in LABEL_COLUMNS:
        if any(name in label for label in embedded.label):
            labels = [_text(label.get(name)) for label in embedded.label]
            columns[name] = np.array(labels, dtype=object)
    for name in METADATA_COLUMNS:
        if any(label.get(name) is not None for label in embedded.label):
            columns[name] = _numbers_or_text([label.get(name) for label in embedded.label])
    return pd.DataFrame(columns)


def place_recall(
    embedded: Embedded,
    encode: Callable[[Tensor], Tensor],
    *,
    ks: Sequence[int] = (1, 5, 10, 50),
    batch_size: int = 4096,
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    """Recall@k: an image's own place among the k best of the split's own places.

    The candidates are the places of the split with exact duplicates merged.

    Args:
        embedded: the split's samples.
        encode: from (b, 2) float64 degrees to unit vectors, by the same model.
        ks: how many of the best are looked at.
        batch_size: places encoded at a time.
        device: where queries and places are compared.

    Returns:
        ``recall@k`` for each k, and ``places``, the number of candidates.

    Raises:
        DataError: an embedding is not of length one.
    """
    first, own = distinct_places(embedded.latlon_deg)
    places = torch.from_numpy(embedded.latlon_deg[first])
    with torch.no_grad():
        parts = [encode(block).detach().float().to(device) for block in places.split(batch_size)]
    rank = own_place_ranks(embedded.embedding, torch.cat(parts), torch.from_numpy(own)).numpy()
    return {f"recall@{k}": recall_at_k(rank, k) for k in ks} | {"places": float(len(places))}


def _numbers_or_text(cells: Sequence[object]) -> np.ndarray:
    """A column of one kind, which parquet asks for: float64, or text where any cell is text."""
    if all(cell is None or isinstance(cell, int | float) for cell in cells):
        return np.array([np.nan if cell is None else cell for cell in cells], dtype=np.float64)
    return np.array([_text(cell) for cell in cells], dtype=object)


def _text(label: object) -> str | None:
    missing = label is None or label == "" or (isinstance(label, float) and np.isnan(label))
    return None if missing else str(label)
