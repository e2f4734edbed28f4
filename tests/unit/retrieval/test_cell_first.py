from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from geoloc.errors import ConfigError, DataError
from geoloc.retrieval import CellFirstIndex, ExactIndex


def vectors(count, width=6, seed=0):
    return F.normalize(torch.randn(count, width, generator=torch.Generator().manual_seed(seed)))


def cells(count, of=9, seed=0):
    # number 4 has no candidates
    cell = torch.randint(of, (count,), generator=torch.Generator().manual_seed(seed))
    return torch.where(cell == 4, 5, cell)


# as many outputs as cells, of which number 4 is never wanted for want of candidates
HEAD = torch.randn(9, 6, generator=torch.Generator().manual_seed(7))
HEAD[4] = 0.0


def head(query):
    return query @ HEAD.T + torch.tensor([0.0] * 4 + [100.0] + [0.0] * 4)


def naive(candidate, cell, one, k, *, score, probe, scale):
    """One query by loops over cells and sorted lists."""
    product = (candidate @ one).tolist()
    members = {
        c: [i for i, own in enumerate(cell.tolist()) if own == c] for c in set(cell.tolist())
    }
    share = np.exp(scale * np.array(product))

    def worth(c):
        if score == "max":
            return max(product[i] for i in members[c])
        if score == "mass":
            return sum(share[i] for i in members[c])
        if score == "head":
            return float(HEAD[c] @ one)
        return float(F.normalize(candidate[members[c]].sum(dim=0), dim=0) @ one)

    ranked = sorted(members, key=lambda c: -worth(c))
    order = sorted((i for c in ranked[:probe] for i in members[c]), key=lambda i: -product[i])
    for c in ranked[probe:]:
        order += sorted(members[c], key=lambda i: -product[i])
    return order[:k]


@pytest.mark.parametrize("score", ["mass", "max", "centroid", "head"])
@pytest.mark.parametrize(("probe", "k"), [(1, 1), (1, 40), (3, 7), (50, 5), (2, 10_000)])
def test_as_a_naive_search_cell_by_cell(score, probe, k):
    candidate, cell, query = vectors(120), cells(120), vectors(11, seed=1)
    index = CellFirstIndex(candidate, cell, score=score, probe=probe, scale=8.0, head=head)
    found = index.search(query, k)
    for one, row, told in zip(query, found.index.tolist(), found.score, strict=True):
        assert row == naive(candidate, cell, one, k, score=score, probe=probe, scale=8.0)
        torch.testing.assert_close(told, candidate[row] @ one)
    assert len(index) == 120


def test_the_best_cell_by_max_holds_the_best_of_all_and_all_cells_are_exact_search():
    candidate, cell, query = vectors(500), cells(500, 40), vectors(300, seed=1)
    exact = ExactIndex(candidate).search(query, 10)
    first = CellFirstIndex(candidate, cell, score="max", probe=1).search(query, 1)
    assert torch.equal(first.index[:, 0], exact.index[:, 0])
    every = CellFirstIndex(candidate, cell, score="centroid", probe=40).search(query, 10)
    assert torch.equal(every.index, exact.index)
    torch.testing.assert_close(every.score, exact.score)


def test_many_good_candidates_together_outweigh_the_best():
    candidate = F.normalize(torch.tensor([[1.0, 0.0], [0.99, 0.14], [0.99, 0.14], [0.0, 1.0]]))
    cell, query = torch.tensor([0, 1, 1, 2]), torch.tensor([[1.0, 0.0]])
    by_mass = CellFirstIndex(candidate, cell, score="mass", probe=1, scale=5.0).search(query, 4)
    assert by_mass.index.tolist() == [[1, 2, 0, 3]]
    sharp = CellFirstIndex(candidate, cell, score="mass", probe=1, scale=500.0).search(query, 1)
    assert sharp.index.tolist() == [[0]]


def test_fewer_vectors_are_compared_the_fewer_cells_are_probed():
    candidate, cell, query = vectors(400), cells(400, 20), vectors(5, seed=1)
    counts = [
        CellFirstIndex(candidate, cell, score="centroid", probe=probe).compared(query).mean()
        for probe in (1, 4, 19)
    ]
    assert counts[0] < counts[1] < counts[2]
    assert counts[2] == 400 + 19
    by_head = CellFirstIndex(candidate, cell % 9, score="head", probe=9, head=head)
    assert by_head.compared(query).tolist() == [400.0 + 9] * 5
    assert CellFirstIndex(candidate, cell, score="mass").compared(query).tolist() == [400.0] * 5


def test_what_cannot_be_searched_is_refused():
    candidate, cell = vectors(10), cells(10)
    with pytest.raises(ConfigError, match="at least one cell"):
        CellFirstIndex(candidate, cell, probe=0)
    with pytest.raises(ValueError, match="at least one candidate"):
        CellFirstIndex(candidate[:0], cell[:0])
    with pytest.raises(ValueError, match="a head to ask"):
        CellFirstIndex(candidate, cell, score="head")
    with pytest.raises(DataError):
        CellFirstIndex(candidate, cell).search(2.0 * candidate, 1)
