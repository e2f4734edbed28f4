"""Two grids: from fine to coarse by block means, and back without knowing better."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from geoloc.errors import ConfigError, DataError


def coarsen(
    fine: Float[Tensor, "*series row column"], factor: int
) -> Float[Tensor, "*series coarse_row coarse_column"]:
    """The mean of each block of `factor` by `factor` cells: what a coarse model would see.

    Raises:
        ConfigError: the factor is below 1.
        DataError: the grid cannot be cut into whole blocks.
    """
    rows, columns = fine.shape[-2:]
    if factor < 1:
        raise ConfigError(f"a coarse cell is made of at least one fine cell, not {factor}")
    if rows % factor or columns % factor:
        raise DataError(
            f"a grid of {rows} by {columns} cells has no whole blocks of {factor} by {factor}: "
            "crop it"
        )
    blocks = fine.reshape(*fine.shape[:-2], rows // factor, factor, columns // factor, factor)
    return blocks.mean(dim=(-3, -1))


def spread(
    coarse: Float[Tensor, "*series row column"], factor: int
) -> Float[Tensor, "*series fine_row fine_column"]:
    """Each coarse cell's value in all of its fine cells; `coarsen` takes it back exactly."""
    return coarse.repeat_interleave(factor, dim=-2).repeat_interleave(factor, dim=-1)


def interpolate(
    coarse: Float[Tensor, "*series row column"], factor: int
) -> Float[Tensor, "*series fine_row fine_column"]:
    """Bicubic interpolation: the baseline, and what the networks add detail to.

    Cells are areas, so that the middle of a block lies between its fine cells; at the edge the
    weights of the cells that there are sum to one.

    Source: R. G. Keys, IEEE Transactions on Acoustics, Speech, and Signal Processing 29, 1981,
    eq. 15.
    """
    *series, rows, columns = coarse.shape
    flat = coarse.reshape(-1, 1, rows, columns)
    size = (rows * factor, columns * factor)
    # of its two bicubic kernels PyTorch takes Keys's, a = -1/2, only together with antialias,
    # which does nothing where fields become larger
    found = functional.interpolate(flat, size=size, mode="bicubic", antialias=True)
    return found.reshape(*series, rows * factor, columns * factor)


def conserve(
    fine: Float[Tensor, "*series row column"],
    coarse: Float[Tensor, "*series coarse_row coarse_column"],
    factor: int,
) -> Float[Tensor, "*series row column"]:
    """The nearest field whose block means are the coarse values: each block shifted as a whole.

    Source: Y. Wang, J. Yu and J. Zhang, "Zero-shot image restoration using denoising diffusion
    null-space model", ICLR 2023, with block means for the operator.
    """
    return fine + spread(coarse - coarsen(fine, factor), factor)
