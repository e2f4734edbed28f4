from __future__ import annotations

import numpy as np
import pytest
import torch

from geoloc.errors import ConfigError
from geoloc.geodesy import sample_sphere
from geoloc.retrieval import ExactIndex, FaissFlatIndex, build_index


@pytest.fixture
def embedding(encode):
    return encode(torch.from_numpy(sample_sphere(40, generator=np.random.default_rng(0))))


def test_each_name_gives_its_index(embedding):
    pytest.importorskip("faiss")
    exact, faiss = build_index("exact", embedding), build_index("faiss", embedding, device="cpu")
    assert isinstance(exact, ExactIndex)
    assert isinstance(faiss, FaissFlatIndex)
    own = torch.arange(40)[:, None]
    for index in (exact, faiss):
        assert torch.equal(index.search(embedding, 1).index, own)


def test_an_unknown_name_is_refused(embedding):
    with pytest.raises(ConfigError, match="choose exact or faiss"):
        build_index("approximate", embedding)
