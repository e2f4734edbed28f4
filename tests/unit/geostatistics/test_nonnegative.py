import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import nnls

from geoloc.geostatistics.nonnegative import best_face, nonnegative_least_squares


@given(st.integers(1, 3), st.integers(0, 10_000))
def test_same_as_scipys_search(columns, seed):
    rng = np.random.default_rng(seed)
    column = rng.normal(size=(5, columns, 8)) * 10.0 ** rng.uniform(-3, 3, size=(columns, 1))
    target = rng.normal(size=(5, 8))
    found, square = nonnegative_least_squares(torch.from_numpy(column), torch.from_numpy(target))
    for number in range(5):
        expected, residual = nnls(column[number].T, target[number])
        np.testing.assert_allclose(found[number].numpy(), expected, rtol=1e-8, atol=1e-12)
        assert abs(float(square[number]) - residual**2) < 1e-10


def test_the_batch_is_its_rows():
    rng = np.random.default_rng(1)
    column = torch.from_numpy(rng.random((4, 3, 2, 6)))
    target = torch.from_numpy(rng.random((4, 3, 6)))
    together, _ = nonnegative_least_squares(column, target)
    alone, _ = nonnegative_least_squares(column[2, 1], target[2, 1])
    torch.testing.assert_close(together[2, 1], alone)


def test_proportional_columns_and_void_ones():
    one = torch.ones(4, dtype=torch.float64)
    column = torch.stack([one, 2 * one, 0 * one])
    found, square = nonnegative_least_squares(column, 3 * one)
    assert found.tolist() == [3.0, 0.0, 0.0]
    assert float(square) == 0
    nothing, square = nonnegative_least_squares(0 * column, one)
    assert nothing.tolist() == [0.0, 0.0, 0.0]
    assert float(square) == 4


def test_the_second_solution_restores_what_products_lose():
    # nearly proportional columns: products alone give the coefficients to five digits
    x = torch.linspace(0, 1, 20, dtype=torch.float64)
    column = torch.stack([torch.ones_like(x), 1 + 3e-5 * x])
    target = 2 * column[0] + 3 * column[1]
    products, _, _ = best_face(column @ column.T, column @ target)
    found, _ = nonnegative_least_squares(column, target)
    wanted = torch.tensor([2.0, 3.0], dtype=torch.float64)
    assert (found - wanted).abs().max() < 1e-9
    assert (products - wanted).abs().max() > 1e-7
