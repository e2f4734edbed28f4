import io

import numpy as np
import pytest
import torch
from PIL import Image

from geoloc.data import Record, ShardWriter
from geoloc.data.earth_tile_settings import EarthTileSettings
from geoloc.errors import ConfigError, DataError
from geoloc.experiment import prepare_data
from geoloc.experiment.build import build_dual_encoder
from geoloc.experiment.loading import load_config
from geoloc.experiment.prepare_data import (
    earth_tile_settings,
    ensure_earth_tiles,
    features_of,
    read_places,
    thin,
)


def jpeg(level=0):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (level,) * 3).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture
def shards(tmp_path):
    places = [(float(i) - 20.0, 3.0 * i - 60.0) for i in range(40)]
    with ShardWriter(tmp_path / "shards", samples_per_shard=16) as writer:
        for number, place in enumerate(places):
            record = Record(key=f"{number:03}", image_bytes=jpeg(), latlon_deg=place)
            writer.write(record)
    return tmp_path / "shards", np.array(places)


def test_places_come_from_json_alone_in_order(shards):
    folder, places = shards
    assert np.array_equal(read_places(str(folder), limit=1000, seed=0), places)
    for name in ("checksums.json", "places.npy"):
        (folder / name).unlink()
    assert np.array_equal(read_places(str(folder), limit=1000, seed=0), places)


def test_data_of_the_same_names_and_numbers_have_features_of_their_own(tmp_path):
    found = {}
    for name, level in (("dark", 0), ("light", 255)):
        with ShardWriter(tmp_path / name) as writer:
            writer.write(Record(key="k", image_bytes=jpeg(level), latlon_deg=(1.0, 2.0)))
    words = [f"data.cache_folder={tmp_path}/features", "data.workers=0"]
    config = load_config("configs/smoke/earth_tiles.yaml", words)
    model = build_dual_encoder(config, say=print)
    for name in ("dark", "light"):
        source = str(tmp_path / name)
        cache = features_of(config, model, source, device="cpu", say=print)
        found[name] = cache.batch(np.arange(1)).feature
    assert not torch.allclose(found["dark"], found["light"], atol=0.01)


def test_features_of_other_settings_lie_beside_one_another(shards, tmp_path):
    folder, places = shards
    words = [
        f"data.cache_folder={tmp_path}/features",
        f"data.train={folder}",
        "data.workers=0",
        "data.cached_views=3",
        "data.augmentation.min_crop_scale=0.5",
        "data.cache_features=true",
        "model.frozen_backbone=true",
    ]
    config = load_config("configs/smoke/earth_tiles.yaml", words)
    model = build_dual_encoder(config, say=print)
    said = []

    def features(seed=0, views=1):
        changed = config.model_copy(update={"seed": seed})
        source = config.data.train
        return features_of(changed, model, source, device="cpu", say=said.append, views=views)

    plain, varied, other = features(), features(views=3), features(seed=1, views=3)
    assert (plain.views, varied.views, other.views) == (1, 3, 3)
    assert np.array_equal(varied.latlon_deg, places)
    rows = np.arange(40)
    for cache in (varied, other):
        assert torch.equal(cache.batch(rows).feature, plain.batch(rows).feature)
    assert "(3 views of each)" in said[1]
    assert len(list((tmp_path / "features").iterdir())) == len(said) == 3
    # One view depends on no seed: it is found again.
    features(seed=1)
    assert len(said) == 3


def test_thinning_keeps_order_and_depends_on_the_seed(shards):
    _, places = shards
    few = thin(places, limit=10, seed=0)
    assert len(few) == 10
    assert np.all(np.diff(few[:, 0]) > 0)
    assert np.array_equal(few, thin(places, limit=10, seed=0))
    assert not np.array_equal(few, thin(places, limit=10, seed=1))
    assert thin(places, limit=40, seed=0) is places


def test_an_empty_split_is_an_error(tmp_path):
    with pytest.raises(DataError):
        read_places(str(tmp_path / "nothing"), limit=10, seed=0)


def test_every_key_of_the_tiles_has_a_setting():
    config = load_config("configs/demo.yaml")
    settings = earth_tile_settings(config)
    assert isinstance(settings, EarthTileSettings)
    assert settings.tile_km == config.data.earth_tiles.tile_km
    assert settings.test_block == config.data.earth_tiles.test_block


def test_tiles_are_cut_once_and_half_a_cut_is_not_taken_for_one(tmp_path, monkeypatch):
    small = ["pixels=16", "train=20", "validation=4", "test_easy=4", "test_block=4"]
    words = [f"data.earth_tiles.{word}" for word in small]
    words.append(f"data.make_earth_tiles={tmp_path}/tiles")
    config = load_config("configs/smoke/earth_tiles.yaml", words)

    def die(folder, settings, *, progress):
        (folder / "train").mkdir(parents=True)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(prepare_data, "write_earth_tiles", die)
        with pytest.raises(KeyboardInterrupt):
            ensure_earth_tiles(config, say=print)
    assert not (tmp_path / "tiles").exists()
    said = []
    ensure_earth_tiles(config, say=said.append)
    ensure_earth_tiles(config, say=said.append)
    assert len(said) == 1
    assert (tmp_path / "tiles/train/sizes.json").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["tiles"]
    other = load_config("configs/smoke/earth_tiles.yaml", [*words, "data.earth_tiles.seed=5"])
    with pytest.raises(ConfigError, match="something else"):
        ensure_earth_tiles(other, say=print)
