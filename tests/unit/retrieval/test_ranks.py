from __future__ import annotations

import pytest
import torch

from geoloc.errors import DataError
from geoloc.retrieval import own_place_ranks
from geoloc.retrieval import ranks as ranks_module


def test_ranks_against_a_full_sort(rows, monkeypatch):
    monkeypatch.setattr(ranks_module, "_SCORES_AT_A_TIME", 500)
    query, candidate = rows(60, 16, 0), rows(40, 16, 1)
    own = torch.randint(40, (60,), generator=torch.Generator().manual_seed(2))
    got = own_place_ranks(query, candidate, own)
    order = (query @ candidate.T).argsort(dim=1, descending=True)
    for row in range(60):
        assert order[row].tolist().index(int(own[row])) + 1 == int(got[row])


def test_a_collapsed_model_gets_chance(rows):
    query, candidate = rows(1, 8, 0).expand(30, 8), rows(1, 8, 0).expand(30, 8)
    got = own_place_ranks(query, candidate, torch.arange(30))
    assert got.tolist() == list(range(1, 31))


def test_bad_input_is_refused(rows):
    with pytest.raises(IndexError, match=r"0\.\.3"):
        own_place_ranks(rows(2, 8, 0), rows(4, 8, 1), torch.tensor([0, 4]))
    with pytest.raises(DataError, match="candidate embedding"):
        own_place_ranks(rows(2, 8, 0), 2 * rows(4, 8, 1), torch.tensor([0, 1]))
