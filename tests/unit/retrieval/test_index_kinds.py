from __future__ import annotations

import numpy as np
import pytest
import torch

from geoloc.errors import ConfigError
from geoloc.geodesy import sample_sphere
from geoloc.retrieval import INDEX_KINDS, ExactIndex, FaissIndex, NearestIndex, build_index


@pytest.mark.parametrize("kind", INDEX_KINDS)
def test_each_name_gives_its_index(encode, kind):
    pytest.importorskip("faiss")
    embedding = encode(torch.from_numpy(sample_sphere(300, generator=np.random.default_rng(0))))
    word = f"{kind}:bytes=3" if kind == "faiss-pq" else kind
    index = build_index(word, embedding, device="cpu")
    assert isinstance(index, ExactIndex if kind == "exact" else FaissIndex)
    assert isinstance(index, NearestIndex)
    assert len(index) == 300
    assert torch.equal(index.search(embedding, 1).index, torch.arange(300)[:, None])


def test_an_unknown_name_is_refused(rows):
    with pytest.raises(ConfigError, match="choose exact, faiss-flat"):
        build_index("approximate", rows(3, 8, 0))
