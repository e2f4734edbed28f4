import io
from pathlib import Path

import pytest
import torch
from PIL import Image

from geoloc.data import Record, ShardWriter
from geoloc.errors import ConfigError
from geoloc.experiment.build import (
    build_dual_encoder,
    build_objective,
    choose_device,
    model_spec,
    trainer_settings,
)
from geoloc.experiment.loading import load_config
from geoloc.experiment.streams import training_stream
from geoloc.models import ImagePreset, LocationEncoder, build_model
from geoloc.models.geoclip import export_location_encoder

ROOT = Path(__file__).parents[3]
SMOKE = ROOT / "configs/smoke/earth_tiles.yaml"


def quiet(line):
    del line


def test_spec_follows_the_configuration():
    spec = model_spec(load_config(ROOT / "configs/geoclip_osv5m.yaml"))
    assert spec.image_encoder.name == "ViT-L-14-quickgelu"
    assert spec.location_encoder.sigmas == (1.0, 16.0, 256.0)
    assert (spec.embedding_dim, spec.head_hidden, spec.frozen_backbone) == (512, 768, True)


def test_geoclips_training_setting_reaches_the_trainer():
    config = load_config(ROOT / "configs/geoclip_osv5m.yaml")
    settings = trainer_settings(config, "cpu")
    assert settings.optimizer.name == "adam"
    assert settings.optimizer.learning_rate == 3e-5
    assert settings.optimizer.weight_decay == 1e-6
    assert settings.optimizer.decay_per_epoch == 0.87
    assert settings.precision == "fp32"
    assert trainer_settings(config, "cuda").precision == "bf16"
    objective = build_objective(config, "cpu")
    assert (objective.batch_noise_m, objective.queue_noise_m) == (150.0, 1000.0)
    assert objective.source.state_dict()
    assert config.data.batch_size == 512


def test_seed_decides_the_weights_and_leaves_the_global_generator_alone():
    config = load_config(SMOKE)
    before = torch.get_rng_state()
    one, two = (build_dual_encoder(config, say=quiet).state_dict() for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], two[name]) for name in one)
    other = build_model(model_spec(load_config(SMOKE, ["seed=1"]))).state_dict()
    assert not torch.equal(one["mlp.0.weight"], other["mlp.0.weight"])


def test_location_encoder_weights_are_taken_from_a_file(tmp_path):
    trained = LocationEncoder((1.0, 16.0, 256.0), 64, hidden=128, features=64, seed=9)
    export_location_encoder(trained, tmp_path / "location.safetensors")
    weights = f"model.location_encoder.weights={tmp_path}/location.safetensors"
    told = []
    model = build_dual_encoder(load_config(SMOKE, [weights]), say=told.append)
    places = torch.tensor([[10.0, 20.0], [-60.0, 170.0]])
    assert torch.allclose(model.location_encoder(places), trained(places))
    assert "location.safetensors" in told[0]


def test_a_list_of_sigmas_that_grew_keeps_what_each_branch_had_learned(tmp_path):
    trained = LocationEncoder((1.0, 16.0, 256.0), 64, hidden=128, features=64, seed=9)
    export_location_encoder(trained, tmp_path / "location.safetensors")
    words = [
        f"model.location_encoder.weights={tmp_path}/location.safetensors",
        "model.location_encoder.sigmas=[1.0, 4.0, 16.0, 256.0]",
    ]
    model = build_dual_encoder(load_config(SMOKE, words), say=quiet)
    places = torch.tensor([[10.0, 20.0], [-60.0, 170.0]])
    # The new branch begins with a silent head, so nothing is forgotten at first.
    assert torch.allclose(model.location_encoder(places), trained(places), atol=1e-6)


def test_fewer_shards_than_workers_start_fewer_workers(tmp_path):
    with ShardWriter(tmp_path / "shards") as writer:
        for key in "abcd":
            writer.write(Record(key=key, image_bytes=_jpeg(), latlon_deg=(1.0, 2.0)))
    words = [f"data.train={tmp_path}/shards", "data.workers=8"]
    told = []
    stream = training_stream(load_config(SMOKE, words), ImagePreset(size=32), say=told.append)
    assert stream.workers == 1
    assert "1 loader workers instead of 8" in told[0]


def test_a_run_that_goes_on_with_other_workers_keeps_its_order(tmp_path):
    with ShardWriter(tmp_path / "shards", samples_per_shard=3) as writer:
        for number in range(24):
            record = Record(key=f"{number}", image_bytes=_jpeg(), latlon_deg=(1.0, 2.0))
            writer.write(record)

    def order(workers: int, strands: int | None) -> list[tuple[str, ...]]:
        words = [f"data.train={tmp_path}/shards", f"data.workers={workers}", "data.batch_size=4"]
        config = load_config(SMOKE, words)
        preset = ImagePreset(size=8)
        stream = training_stream(config, preset, say=quiet, strands=strands)
        return [batch.key for batch in stream.epoch(1)]

    begun = order(3, None)
    assert order(0, 3) == order(2, 3) == order(8, 3) == begun
    assert order(0, None) != begun


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device(load_config(SMOKE)) == "cpu"
    with pytest.raises(ConfigError, match="no GPU"):
        choose_device(load_config(SMOKE, ["training.device=cuda"]))


def test_default_augmentation_leaves_images_alone(tmp_path):
    with ShardWriter(tmp_path / "shards") as writer:
        writer.write(Record(key="a", image_bytes=_jpeg(), latlon_deg=(1.0, 2.0)))
    words = [f"data.train={tmp_path}/shards", "data.workers=0"]
    preset = ImagePreset(size=32)
    varied = load_config(ROOT / "configs/resume_check.yaml", words)
    assert training_stream(varied, preset, say=quiet).augment is True
    plain = load_config(ROOT / "configs/smoke/demo.yaml", words)
    assert training_stream(plain, preset, say=quiet).augment is False


def _jpeg():
    buffer = io.BytesIO()
    Image.new("RGB", (40, 40), "green").save(buffer, "JPEG")
    return buffer.getvalue()
