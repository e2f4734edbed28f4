"""Continuous decoding in an evaluation: predictions, rows and gains over the gallery alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from geoloc.artifacts import write_json
from geoloc.evaluation import (
    Comparison,
    RowErrors,
    compare,
    read_predictions,
    spatial_blocks,
)
from geoloc.experiment.build import Say
from geoloc.experiment.trained_run import TrainedRun
from geoloc.geodesy import great_circle_km
from geoloc.inference.continuous import STARTS_AMONG, Decoding, check_decoding, decode_places
from geoloc.inference.place_field import PlaceField
from geoloc.retrieval import Candidates, Embedded, Gallery, NearestIndex

_FILE = "decodings.json"
_SHOWN = ("accuracy@25km", "accuracy@200km", "median_km")


def continuous_decodings(names: Sequence[str]) -> tuple[Decoding, ...]:
    """The decodings asked for, each once, without ``argmax``, which every gallery's own row is.

    Raises:
        ConfigError: there is no decoding of that name.
    """
    known: list[Decoding] = [check_decoding(name) for name in names]
    return tuple(name for name in dict.fromkeys(known) if name != "argmax")


def decoded_label(gallery: str, decoding: Decoding) -> str:
    """What the rows and files of a gallery under a decoding are called."""
    return f"{gallery}+{decoding}"


def place_field(trained: TrainedRun, gallery: Gallery) -> PlaceField:
    """A gallery and the model behind it, as continuous decoding asks for them."""
    model, device = trained.model, trained.device
    return PlaceField(
        latlon_deg=torch.tensor(gallery.latlon_deg),
        embedding=gallery.embedding.to(device),
        encode=lambda latlon_deg: model.embed_places(latlon_deg.to(device)),
        scale=float(model.scale().detach()),
    )


def decoded_frames(
    trained: TrainedRun,
    embedded: Embedded,
    searched: Mapping[str, tuple[Gallery | Candidates, NearestIndex]],
    frames: Mapping[str, pd.DataFrame],
    *,
    decodings: Sequence[Decoding],
) -> dict[str, pd.DataFrame]:
    """Predictions of each gallery under each decoding, by label.

    They are the gallery's own with another predicted place and score; the lists of best places
    begin with it and go on as the gallery ranks them.

    Args:
        trained: the run.
        embedded: the split's samples.
        searched: galleries with their indices; candidates that are no plain gallery are passed
            over, since there is nothing between reference images.
        frames: the galleries' own predictions (`evaluate_split`).
        decodings: what is asked for.
    """
    query = embedded.embedding.to(trained.device)
    found: dict[str, pd.DataFrame] = {}
    for name, (gallery, index) in searched.items():
        if not decodings or not isinstance(gallery, Gallery):
            continue
        field = place_field(trained, gallery)
        hits = index.search(embedded.embedding, STARTS_AMONG).index
        for decoding in decodings:
            decoded = decode_places(decoding, field, query, hits)
            place, score = decoded.latlon_deg.numpy(), decoded.score.numpy()
            frame = frames[name].copy()
            frame["pred_lat_deg"], frame["pred_lon_deg"], frame["score"] = *place.T, score
            columns = {"top_lat_deg": place[:, 0], "top_lon_deg": place[:, 1], "top_score": score}
            for column, first in columns.items():
                lists = np.stack(frame[column].tolist())
                lists[:, 0] = first
                frame[column] = list(lists)
            found[decoded_label(name, decoding)] = frame
    return found


def tell_gains(
    folder: Path, galleries: Sequence[str], decodings: Sequence[Decoding], *, say: Say
) -> None:
    """Say what each decoding gains over its gallery, and write FOLDER/decodings.json.

    Differences are paired, by great circle, with 95 % intervals over spatial blocks (`compare`).

    Args:
        folder: of the split's results, with the predictions written.
        galleries: names.
        decodings: what was evaluated.
        say: told one line a gallery and decoding.
    """
    gains = [
        gain
        for gallery in galleries
        if decodings
        for gain in decoding_gains(
            {
                label: read_predictions(folder / label / "predictions.parquet")
                for label in (gallery, *(decoded_label(gallery, each) for each in decodings))
            },
            gallery,
        )
    ]
    if not gains:
        return
    write_json(folder / _FILE, {"schema_version": 1, "gains": [asdict(gain) for gain in gains]})
    for arm in dict.fromkeys(gain.arm for gain in gains):
        shown = [gain for gain in gains if gain.arm == arm and gain.metric in _SHOWN]
        say(f"{arm} over {shown[0].baseline}: {', '.join(_words(gain) for gain in shown)}")


def decoding_gains(frames: Mapping[str, pd.DataFrame], gallery: str) -> list[Comparison]:
    """Paired differences of predictions to those of the gallery alone; positive is better.

    Nothing can be said of a split within one spatial block: then there are none.

    Args:
        frames: predictions of one split, rows in the same order, by label.
        gallery: the label that the others are compared with.
    """
    columns = ["true_lat_deg", "true_lon_deg", "pred_lat_deg", "pred_lon_deg"]
    places = {name: frame[columns].to_numpy(np.float64) for name, frame in frames.items()}
    errors = {
        name: RowErrors(
            distance_km=great_circle_km(each[:, :2], each[:, 2:])[None],
            rank=np.ones((1, len(each)), dtype=np.int64),
        )
        for name, each in places.items()
    }
    block = spatial_blocks(places[gallery][:, :2])
    if len(np.unique(block)) < 2:
        return []
    found = compare(errors, [gallery], block)
    return [gain for gain in found if not gain.metric.startswith("recall")]


def _words(gain: Comparison) -> str:
    if gain.metric == "median_km":
        return f"median {-gain.delta:+.1f} km [{-gain.high:+.1f}, {-gain.low:+.1f}]"
    radius = gain.metric.removeprefix("accuracy@").replace("km", " km")
    points = (100 * each for each in (gain.delta, gain.low, gain.high))
    delta, low, high = points
    return f"within {radius} {delta:+.1f} points [{low:+.1f}, {high:+.1f}]"
