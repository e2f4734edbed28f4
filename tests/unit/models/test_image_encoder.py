from __future__ import annotations

import json

import pytest

from geoloc.errors import ConfigError
from geoloc.models import ConvEncoder, ImageEncoder, ImagePreset
from geoloc.models.image_encoder import CLIP_MEAN


def test_json_round_trip_is_exact():
    preset = ImagePreset(size=96, mean=(0.1, 0.2, 0.3), std=(1.0, 0.5, 0.25), crop_fraction=0.875)
    assert ImagePreset.from_json(json.loads(json.dumps(preset.to_json()))) == preset
    assert ImagePreset.from_json({}) == ImagePreset()
    assert ImagePreset().mean == CLIP_MEAN


def test_resize_length_leaves_the_crop_fraction():
    assert ImagePreset(size=224, crop_fraction=0.875).resize_to == 256
    assert ImagePreset(size=224).resize_to == 224


def test_overrides_replace_only_what_they_name():
    preset = ImagePreset(size=64).with_overrides({"std": [1, 1, 1]})
    assert (preset.size, preset.std, preset.mean) == (64, (1.0, 1.0, 1.0), CLIP_MEAN)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"siz": 3}, "unknown keys"),
        ({"size": 0}, "size"),
        ({"mean": [1, 2]}, "three numbers"),
        ({"std": [1, 0, 1]}, "above zero"),
        ({"interpolation": "lanczos"}, "lanczos"),
        ({"crop_fraction": 0.0}, "crop_fraction"),
        ({"crop_fraction": 1.5}, "crop_fraction"),
        ({"size": "large"}, "wrong type"),
        ({"mean": 3}, "wrong type"),
    ],
)
def test_impossible_presets_are_refused(bad, words):
    with pytest.raises(ConfigError, match=words):
        ImagePreset.from_json(bad)


def test_protocol_tells_encoders_from_other_things():
    assert isinstance(ConvEncoder(8, 32), ImageEncoder)
    assert not isinstance(object(), ImageEncoder)
