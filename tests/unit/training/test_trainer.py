from __future__ import annotations

import math
import os
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training_worlds import FAST, ImageStream, StopAt, make_trainer, tiny_model

from geoloc.batch import GeoBatch
from geoloc.errors import ConfigError, TrainingError
from geoloc.models import DualEncoder
from geoloc.negatives import BatchAndQueue
from geoloc.training import Objective, OptimizerSettings, Validation, contrastive_step
from geoloc.training.settings import Best, TrainerSettings
from geoloc.training.stepper import Stepper


class SameBatch(ImageStream):
    """The same seven images at every step: a model that learns can learn these by heart."""

    def batch(self, epoch: int, number: int) -> GeoBatch:
        return super().batch(0, 0)


def test_training_lowers_the_loss_and_leaves_the_trained_weights(tmp_path: Path):
    model, sink = tiny_model(), StopAt()
    trainer = make_trainer(
        tmp_path, data=SameBatch(batches=40), model=model, sink=sink, epochs=1,
        optimizer=OptimizerSettings(learning_rate=0.02),
    )  # fmt: skip
    assert trainer.total_steps == 40
    result = trainer.run()
    losses = [values["train/loss"] for _, values in sink.written]
    assert len(losses) == 40
    assert sum(losses[-5:]) < 0.7 * sum(losses[2:7])
    weights = load_file(result.weights)
    assert all(torch.equal(weights[k], v) for k, v in model.state_dict().items())


def test_what_is_logged_is_the_mean_since_the_last_log(tmp_path: Path):
    every, means = StopAt(), StopAt()
    make_trainer(tmp_path / "a", sink=every, epochs=1).run()
    make_trainer(tmp_path / "b", sink=means, epochs=1, log_every_steps=2).run()
    assert [step for step, _ in means.written] == [2, 4, 5]
    losses = [values["train/loss"] for _, values in every.written]
    expected = [sum(losses[:2]) / 2, sum(losses[2:4]) / 2, losses[4]]
    assert [v["train/loss"] for _, v in means.written] == pytest.approx(expected, abs=1e-6)
    _, values = every.written[0]
    assert values["train/learning_rate"] == FAST.learning_rate
    assert values["speed/images_per_s"] > 0
    assert 0 <= values["speed/data_wait_share"] <= 1


def test_the_queue_fills_with_the_places_of_earlier_batches_and_is_forgotten_by_none():
    source = BatchAndQueue()
    seen: list[str] = []
    source.update = lambda batch: seen.extend(batch.key)  # type: ignore[method-assign]
    settings = TrainerSettings(epochs=1, optimizer=FAST)
    stream = ImageStream()
    stepper = Stepper(tiny_model(), Objective(source=source), settings)
    stepper.take([stream.batch(0, 0), stream.batch(0, 1)], step=0, factor=1.0)
    assert seen == stream.seen


def test_accumulated_gradients_are_the_mean_over_batches_with_their_own_negatives():
    stream = ImageStream()
    batches = [stream.batch(0, 0), stream.batch(0, 1)]
    objective = Objective(source=BatchAndQueue(), batch_noise_m=0.0)
    model, reference = tiny_model(frozen=True), tiny_model(frozen=True)
    settings = TrainerSettings(epochs=1, optimizer=OptimizerSettings(learning_rate=1e-9))
    Stepper(model, objective, settings).take(batches, step=0, factor=1.0)
    losses = [
        contrastive_step(reference, b, objective, generator=torch.Generator()).loss for b in batches
    ]
    ((losses[0] + losses[1]) / 2).backward()
    for (name, a), b in zip(model.named_parameters(), reference.parameters(), strict=True):
        if b.grad is not None:
            assert a.grad is not None
            assert torch.allclose(a.grad, b.grad, atol=1e-5), name


def test_each_step_puts_the_temperature_back_within_its_bound():
    model = tiny_model()
    with torch.no_grad():
        model.logit_scale.fill_(math.log(1000.0))
    settings = TrainerSettings(epochs=1, optimizer=FAST)
    stepper = Stepper(model, Objective(source=BatchAndQueue()), settings)
    stepper.take([ImageStream().batch(0, 0)], step=0, factor=1.0)
    assert float(model.logit_scale.detach()) == pytest.approx(math.log(100.0))


def test_noise_is_drawn_anew_at_every_step_and_repeats_with_the_step():
    def loss_at(step: int) -> float:
        objective = Objective(source=BatchAndQueue(), batch_noise_m=500_000.0)
        stepper = Stepper(tiny_model(frozen=True), objective, TrainerSettings(epochs=1))
        stepper.take([ImageStream().batch(0, 0)], step=step, factor=1.0)
        return stepper.report().means["loss"]

    assert loss_at(3) == loss_at(3)
    assert loss_at(3) != loss_at(4)


def test_a_group_at_the_end_of_an_epoch_may_be_short(tmp_path: Path):
    stream = ImageStream()
    trainer = make_trainer(tmp_path, data=stream, accumulate=2, epochs=2)
    assert trainer.total_steps == 6
    assert trainer.run().step == 6
    assert len(stream.seen) == 2 * 5 * 7


def test_steps_that_are_not_finite_are_skipped_and_counted(tmp_path: Path):
    model, sink = tiny_model(), StopAt()
    stream = ImageStream(poison=frozenset({1, 7}))
    result = make_trainer(tmp_path, data=stream, model=model, sink=sink).run()
    assert (result.step, result.skipped_steps) == (15, 2)
    trained = [p for p in model.parameters() if p.requires_grad]
    assert all(bool(torch.isfinite(p).all()) for p in trained)
    assert sink.written[-1][1]["train/skipped_steps"] == 2.0
    assert math.isnan(sink.written[1][1]["train/loss"])
    assert math.isfinite(sink.written[2][1]["train/loss"])


def test_a_finished_run_resumed_still_tells_of_its_skipped_steps(tmp_path: Path):
    poisoned = ImageStream(poison=frozenset({2, 9}))
    make_trainer(tmp_path, data=poisoned).run()
    again = make_trainer(tmp_path, data=poisoned)
    again.restore()
    assert again.run().skipped_steps == 2


@pytest.mark.parametrize("log_every_steps", [1, 4])
def test_too_many_bad_steps_in_a_row_stop_the_run(tmp_path: Path, log_every_steps: int):
    stream = ImageStream(poison=frozenset(range(3, 15)))
    trainer = make_trainer(
        tmp_path, data=stream, max_nonfinite_steps=2, log_every_steps=log_every_steps
    )
    with pytest.raises(TrainingError, match="not finite in"):
        trainer.run()


def test_bad_steps_that_are_not_in_a_row_do_not_stop_the_run(tmp_path: Path):
    stream = ImageStream(poison=frozenset({0, 1, 3, 4, 6, 7, 9, 10, 12, 13}))
    result = make_trainer(tmp_path, data=stream, max_nonfinite_steps=2, log_every_steps=15).run()
    assert result.skipped_steps == 10


def test_an_epoch_without_a_batch_is_an_error(tmp_path: Path):
    with pytest.raises(TrainingError, match="no batch"):
        make_trainer(tmp_path, data=ImageStream(batches=0)).run()


def test_validation_runs_in_eval_mode_after_epochs_and_the_best_is_kept(tmp_path: Path):
    measured: list[tuple[int, bool, bool]] = []
    best: list[float] = []
    values = [5.0, 3.0, math.nan, 4.0, 3.0]

    def measure(model: DualEncoder, epoch: int) -> dict[str, float]:
        measured.append((epoch, model.training, torch.is_grad_enabled()))
        return {"median_km": values[epoch]}

    validation = Validation(
        measure=measure, metric="median_km", higher_is_better=False,
        on_best=lambda model, found: best.append(found["median_km"]),
    )  # fmt: skip
    sink = StopAt()
    result = make_trainer(tmp_path, sink=sink, epochs=5, keep_last=1, validation=validation).run()
    assert measured == [(epoch, False, False) for epoch in range(5)]
    assert best == [5.0, 3.0]
    assert result.best == Best(metric="median_km", value=3.0, step=10)
    kept = sorted(path.name for path in (tmp_path / "checkpoints").glob("step-*"))
    assert kept == ["step-00000010", "step-00000025"]
    lines = [step for step, values in sink.written if "validation/median_km" in values]
    assert lines == [5, 10, 15, 20, 25]


def test_validation_every_second_epoch_and_after_the_last(tmp_path: Path):
    epochs: list[int] = []

    def measure(model: DualEncoder, epoch: int) -> dict[str, float]:
        epochs.append(epoch)
        return {}

    make_trainer(tmp_path, epochs=5, validation=Validation(measure=measure, every_epochs=2)).run()
    assert epochs == [1, 3, 4]


def test_the_best_survives_a_resume_and_validation_is_not_repeated(tmp_path: Path):
    epochs: list[int] = []

    def measure(model: DualEncoder, epoch: int) -> dict[str, float]:
        epochs.append(epoch)
        return {"score": -float(epoch)}

    validation = Validation(measure=measure, metric="score")
    make_trainer(tmp_path, sink=StopAt(7), validation=validation).run()
    trainer = make_trainer(tmp_path, validation=validation)
    trainer.restore()
    assert trainer.run().best == Best(metric="score", value=0.0, step=5)
    assert epochs == [0, 1, 2]


def test_a_metric_that_validation_does_not_measure_is_named(tmp_path: Path):
    validation = Validation(measure=lambda model, epoch: {"a": 1.0}, metric="b")
    with pytest.raises(ConfigError, match="measured only"):
        make_trainer(tmp_path, validation=validation).run()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_finishes_the_step_saves_and_returns(tmp_path: Path, number: signal.Signals):
    class Signalling(ImageStream):
        def batch(self, epoch: int, index: int) -> GeoBatch:
            if (epoch, index) == (1, 2):
                os.kill(os.getpid(), number)
            return super().batch(epoch, index)

    before = signal.getsignal(number)
    result = make_trainer(tmp_path, data=Signalling()).run()
    assert result.interrupted == number
    assert result.step == 7
    assert (tmp_path / "checkpoints" / "step-00000007" / "manifest.json").exists()
    assert signal.getsignal(number) is before


def test_a_stream_left_before_its_end_is_closed(tmp_path: Path):
    closed: list[int] = []

    class Closing(ImageStream):
        def epoch(self, epoch: int):
            try:
                yield from super().epoch(epoch)
            finally:
                closed.append(self._done)

    trainer = make_trainer(tmp_path, data=Closing(), sink=StopAt(7))
    trainer.run()
    assert closed == [5, 2]


def test_bf16_autocast_keeps_weights_float32_and_trains_about_alike(tmp_path: Path):
    losses: dict[str, float] = {}
    for precision in ("fp32", "bf16"):
        sink, model = StopAt(), tiny_model(frozen=True)
        make_trainer(tmp_path / precision, sink=sink, model=model, precision=precision).run()
        losses[precision] = sink.written[-1][1]["train/loss"]
        assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.05)
    assert losses["bf16"] != losses["fp32"]


def test_a_frozen_backbone_is_not_in_the_checkpoint_but_a_trained_one_is_with_its_buffers(
    tmp_path: Path,
):
    for frozen in (True, False):
        result = make_trainer(tmp_path / str(frozen), model=tiny_model(frozen=frozen)).run()
        names = load_file(result.weights).keys()
        assert ("image_encoder.body.1.running_mean" in names) is not frozen
        assert "location_encoder.LocEnc0.capsule.1.weight" in names


def test_a_cosine_without_a_known_length_is_refused_at_once(tmp_path: Path):
    class Endless(ImageStream):
        @property
        def steps_per_epoch(self) -> int | None:
            return None

    optimizer = OptimizerSettings(schedule="cosine")
    with pytest.raises(ConfigError, match="number of steps"):
        make_trainer(tmp_path, data=Endless(), optimizer=optimizer)
    trainer = make_trainer(tmp_path, data=Endless(), optimizer=optimizer, max_steps=9)
    assert trainer.total_steps == 9
    assert trainer.run().step == 9


@pytest.mark.parametrize("name", ["epochs", "accumulate", "keep_last", "log_every_steps"])
def test_impossible_counts_are_refused(name: str):
    with pytest.raises(ConfigError, match=name):
        TrainerSettings(**({"epochs": 1} | {name: 0}))
