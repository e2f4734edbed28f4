"""A finished run of a few small images, ready to be evaluated and asked."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from geoloc.data import Record, ShardWriter
from geoloc.experiment.build import model_spec
from geoloc.experiment.loading import config_from_tree
from geoloc.experiment.run_directory import open_run
from geoloc.models import build_model, save_model

TRAINING, TEST = 8, 6


def write_shards(folder, count, *, seed):
    generator = np.random.default_rng(seed)
    with ShardWriter(folder) as writer:
        for number in range(count):
            pixels = generator.integers(0, 256, (40, 40, 3), dtype=np.uint8)
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "JPEG")
            place = (float(generator.uniform(-60, 60)), float(generator.uniform(-170, 170)))
            key = f"{seed}-{number}"
            writer.write(Record(key=key, image_bytes=buffer.getvalue(), latlon_deg=place))


@pytest.fixture
def make_shards():
    return write_shards


@pytest.fixture
def make_run(tmp_path):
    """Makes the run, with keys of the configuration and of its record changed."""
    write_shards(tmp_path / "train", TRAINING, seed=1)
    write_shards(tmp_path / "test", TEST, seed=2)

    def make(*, finished=True, device="auto", gallery_places=500, cells=None):
        tree = {
            "name": "tiny",
            "run_dir": str(tmp_path / "run"),
            "data": {
                "train": str(tmp_path / "train"),
                "tests": {"easy": str(tmp_path / "test")},
                "workers": 0,
            },
            "model": {
                "image_encoder": {
                    "kind": "conv",
                    "name": "tiny",
                    "weights": None,
                    "image_size": 32,
                    "width": 8,
                },
                "location_encoder": {"sigmas": [1.0], "hidden": 16, "features": 8},
                "embedding_dim": 16,
                "head_hidden": 16,
                "frozen_backbone": False,
            },
            "training": {"device": device},
            "cells": {"file": None if cells is None else str(cells)},
            "evaluation": {
                "gallery_places": gallery_places,
                "even_land_places": 50,
                "protocols": ["osv5m-official"],
                "batch_size": 4,
            },
        }
        config = config_from_tree(tree, where="here")
        run = open_run(config)
        save_model(run.model, build_model(model_spec(config)).eval(), model_spec(config))
        run.update_record({"finished": finished, "default_gallery": "training-places"})
        return run

    return make
