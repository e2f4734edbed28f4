"""Image embeddings of shards under the model of a run."""

from __future__ import annotations

from pathlib import Path

from geoloc.evaluation import LABEL_COLUMNS, METADATA_COLUMNS
from geoloc.experiment.build import Say
from geoloc.experiment.progress import counted
from geoloc.experiment.streams import plain_stream
from geoloc.experiment.trained_run import TrainedRun, open_trained_run
from geoloc.retrieval import Embedded, embed_stream


def embed_shards(
    run_folder: Path,
    source: str,
    *,
    out: Path,
    workers: int | None,
    say: Say,
    device: str = "auto",
    backbone_weights: Path | None = None,
) -> Embedded:
    """Image embeddings of shards under a finished run's model, written to a folder.

    Raises:
        CheckpointError: the run has not finished, or its model cannot be read.
        ConfigError: this machine has no such device.
        DataError: the run or the shards cannot be used.
    """
    trained = open_trained_run(run_folder, device=device, backbone_weights=backbone_weights)
    say(f"embedding {source}")
    embedded, _ = embed_source(trained, source, workers=workers)
    embedded.save(out, model_fingerprint=trained.model.fingerprint())
    return embedded


def embed_source(
    trained: TrainedRun, source: str, *, workers: int | None
) -> tuple[Embedded, dict[str, int]]:
    """Image embeddings of shards by a run's model, and how many samples were lost, by kind.

    Raises:
        DataError: the shards cannot be used.
    """
    model, device = trained.model, trained.device
    stream = plain_stream(trained.config, model.preset, source, workers=workers)
    batches = counted(stream.epoch(0), what="images", total=stream.sample_count)
    embedded = embed_stream(
        batches,
        lambda batch: model.embed_batch(batch.to(device)),
        labels=(*LABEL_COLUMNS, *METADATA_COLUMNS),
    )
    return embedded, dict(stream.ledger.by_kind)
