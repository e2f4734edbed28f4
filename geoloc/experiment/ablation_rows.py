"""What a trained run gets wrong on each row of its test splits, kept beside the run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from jaxtyping import Float64, Int64

from geoloc.artifacts import write_arrays
from geoloc.data.feature_batches import FeatureBatches
from geoloc.evaluation import evaluate_split
from geoloc.experiment.build import Say
from geoloc.experiment.embed_run import embed_source
from geoloc.experiment.galleries import gallery_named, place_encoder
from geoloc.experiment.prepare_data import features_of
from geoloc.experiment.trained_run import TrainedRun, open_trained_run
from geoloc.geodesy import great_circle_km
from geoloc.retrieval import Embedded, distinct_places, embed_stream, own_place_ranks

ROWS_FILE = "rows-{gallery}.npz"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SplitRows:
    """What a run got wrong on one split.

    Attributes:
        distance_km: error of each row.
        rank: of the row's own place among the split's places, from 1.
        true_deg: the row's true place, by which rows of different runs are told to be the same.
    """

    distance_km: Float64[np.ndarray, " row"]
    rank: Int64[np.ndarray, " row"]
    true_deg: Float64[np.ndarray, "row 2"]


def rows_of_run(run_folder: Path, gallery: str, *, say: Say) -> dict[str, SplitRows]:
    """Errors and ranks of a finished run on its configuration's test splits, computed once.

    Raises:
        CheckpointError: the run has not finished.
        DataError: a split cannot be read.
    """
    file = run_folder / ROWS_FILE.format(gallery=gallery)
    kept = _read(file)
    if kept is not None:
        return kept
    trained = open_trained_run(run_folder)
    found = {
        split: _rows(trained, source, gallery, say=say)
        for split, source in trained.config.data.tests.items()
    }
    arrays: dict[str, np.ndarray] = {}
    for split, rows in found.items():
        arrays |= {f"km:{split}": rows.distance_km, f"rank:{split}": rows.rank}
        arrays[f"true:{split}"] = rows.true_deg
    write_arrays(file, arrays)
    return found


def _read(file: Path) -> dict[str, SplitRows] | None:
    """What was kept; None where nothing was, or nothing that can be read."""
    if not file.is_file():
        return None
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as kept:
            return {
                name[3:]: SplitRows(
                    distance_km=kept[name],
                    rank=kept[f"rank:{name[3:]}"],
                    true_deg=kept[f"true:{name[3:]}"],
                )
                for name in kept.files
                if name.startswith("km:")
            }
    except (KeyError, ValueError, BadZipFile):
        return None


def _rows(trained: TrainedRun, source: str, gallery: str, *, say: Say) -> SplitRows:
    embedded = _embedded(trained, source, say=say)
    places = gallery_named(
        gallery, trained.run, trained.config, trained.model, device=trained.device
    )
    frame = evaluate_split(embedded, places, top_k=1)
    true = frame[["true_lat_deg", "true_lon_deg"]].to_numpy(np.float64)
    predicted = frame[["pred_lat_deg", "pred_lon_deg"]].to_numpy(np.float64)
    encode = place_encoder(trained.model, trained.device)
    first, own = distinct_places(embedded.latlon_deg)
    candidate = encode(torch.from_numpy(embedded.latlon_deg[first])).detach().float()
    rank = own_place_ranks(embedded.embedding, candidate.cpu(), torch.from_numpy(own))
    return SplitRows(
        distance_km=np.asarray(great_circle_km(true, predicted), dtype=np.float64),
        rank=rank.numpy().astype(np.int64),
        true_deg=true,
    )


def _embedded(trained: TrainedRun, source: str, *, say: Say) -> Embedded:
    """The split under the run's model; from cached features where the run was trained on such."""
    config, model, device = trained.config, trained.model, trained.device
    if not config.data.cache_features:
        # In this process: several runs of a study may be evaluated at once, by threads.
        return embed_source(trained, source, workers=0)[0]
    cache = features_of(config, model, source, device=device, say=say)
    batches = FeatureBatches(cache, 1024, shuffle=False).epoch(0)
    return embed_stream(batches, lambda batch: model.embed_batch(batch.to(device)), labels=())
