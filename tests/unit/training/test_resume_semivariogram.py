"""A run whose batches and weights come from a refitted semivariogram resumes bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from training_worlds import FAST, FeatureStore, StopAt, assert_same_checkpoints, tiny_model

from geoloc.batch import GeoBatch
from geoloc.negatives import (
    BatchAndQueue,
    EpochExpectation,
    PlaceQueue,
    RefitSettings,
    RuleSettings,
    SemivariogramSampler,
    build_rule,
)
from geoloc.training import (
    Objective,
    Trainer,
    TrainerSettings,
    find_latest,
    seed_everything,
    trained_embeddings,
)


def trainer_in(folder: Path, sink: StopAt) -> tuple[Trainer, SemivariogramSampler]:
    seed_everything(5)
    model, expectation = tiny_model(), EpochExpectation()

    def embed(batch: GeoBatch) -> torch.Tensor:
        model.eval()
        embedding = model.embed_batch(batch)
        model.train()
        return embedding

    sampler = SemivariogramSampler(
        FeatureStore(120, model.image_encoder.feature_dim),
        20,
        embed,
        expectation,
        refit=RefitSettings(samples=90, pairs=2_000),
        hard_share=0.3,
        seed=3,
    )
    settings = RuleSettings(near_km=2_000.0, alike_level=1.0, hard_quantile=0.3)
    objective = Objective(
        source=BatchAndQueue(PlaceQueue(30, feature_dim=8)),
        rule=build_rule("semivariogram", settings),
        expectation=expectation,
        compared=trained_embeddings,
    )
    trainer = Trainer(
        model,
        sampler,
        objective,
        settings=TrainerSettings(epochs=3, optimizer=FAST, log_every_steps=1),
        folder=folder,
        sinks=(sink,),
    )
    sink.trainer = trainer
    return trainer, sampler


@pytest.mark.parametrize("stop", [2, 9])
def test_stop_and_resume_ends_with_the_same_bits(tmp_path: Path, stop: int):
    straight_sink, stopped_sink = StopAt(), StopAt(stop)
    straight, _ = trainer_in(tmp_path / "straight", straight_sink)
    straight.run()
    trainer_in(tmp_path / "stopped", stopped_sink)[0].run()
    resumed_sink = StopAt()
    resumed_sink.written = stopped_sink.written
    resumed, sampler = trainer_in(tmp_path / "stopped", resumed_sink)
    assert resumed.restore() == stop
    assert (sampler.expectation.current is None) == (stop <= 6), "no fit before the warm-up is over"
    resumed.run()
    ends = [find_latest(tmp_path / name / "checkpoints") for name in ("straight", "stopped")]
    assert_same_checkpoints(*ends)
    weights = [
        values["train/mean_negative_weight"]
        for _, values in resumed_sink.written
        if "train/mean_negative_weight" in values
    ]
    assert len(weights) == 18
    assert set(weights[:6]) == {1.0}
    assert max(weights[6:]) > 1.0
