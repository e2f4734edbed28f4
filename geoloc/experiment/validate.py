"""The measurement during training: how far off the validation images are located."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from jaxtyping import Float64

from geoloc.batch import GeoBatch
from geoloc.evaluation import accuracy_within, evaluate_split, geoscore, median_of
from geoloc.experiment.galleries import place_encoder
from geoloc.experiment.prepare_data import thin
from geoloc.geodesy import great_circle_km
from geoloc.models import DualEncoder
from geoloc.retrieval import Gallery, embed_stream

_RADII_KM = (25.0, 200.0, 750.0, 2500.0)
_GALLERY_PLACES = 20_000

Measure = Callable[[DualEncoder, int], Mapping[str, float]]


def validator(
    batches: Callable[[], Iterable[GeoBatch]],
    training_latlon_deg: Float64[np.ndarray, "place 2"],
    *,
    device: str,
    seed: int,
) -> Measure:
    """What the trainer calls after an epoch: the split against (at most 20,000) training places.

    Args:
        batches: gives the validation split anew at each call.
        training_latlon_deg: places that may be answered.
        device: where the model is.
        seed: of the thinning of the places.
    """
    places = thin(training_latlon_deg, limit=_GALLERY_PLACES, seed=seed)

    def measure(model: DualEncoder, epoch: int) -> Mapping[str, float]:
        del epoch
        embedded = embed_stream(
            batches(), lambda batch: model.embed_batch(batch.to(device)), labels=()
        )
        gallery = Gallery.build(
            places, place_encoder(model, device), model_fingerprint="", name="validation"
        )
        frame = evaluate_split(embedded, gallery, top_k=1)
        true = frame[["true_lat_deg", "true_lon_deg"]].to_numpy(np.float64)
        predicted = frame[["pred_lat_deg", "pred_lon_deg"]].to_numpy(np.float64)
        distance_km = great_circle_km(true, predicted)
        values = {
            "median_km": median_of(distance_km),
            "geoscore": float(geoscore(distance_km).mean()),
        }
        for radius in _RADII_KM:
            within = accuracy_within(distance_km, radius, strict=True)
            values[f"accuracy@{radius:g}km"] = float(within.mean())
        return values

    return measure
