"""Covering parts of an image: a grid of patches, and what is put in their place."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

Fill: TypeAlias = Literal["surroundings", "mean"]
"""What covers a patch: the blurred picture around it, or the grey that the tower takes for zero."""


def patch_boxes(side_px: int, cells: int, reach: float) -> Int64[np.ndarray, "cell 4"]:
    """The patch around every cell of a square grid over a square image, row by row from the top.

    A cell's patch is a square about its middle, `reach` times as wide as the cell: above one the
    patches of neighbours overlap, so that what lies on the edge of two cells is covered whole by
    one patch at least. At the rim of the image patches are cut off.

    Args:
        side_px: of the image.
        cells: a side, at most one for each pixel.
        reach: of a patch.

    Returns:
        Top, left, bottom, right of each patch in pixels; bottom and right are outside.
    """
    middle = (np.arange(cells) + 0.5) * side_px / cells
    half = reach * side_px / cells / 2.0
    low = np.rint(middle - half).clip(0, side_px).astype(np.int64)
    high = np.maximum(np.rint(middle + half).clip(0, side_px).astype(np.int64), low + 1)
    row, column = (axis.ravel() for axis in np.indices((cells, cells)))
    return np.stack([low[row], low[column], high[row], high[column]], axis=1)


def covered(
    image: Float[Tensor, "3 height width"], boxes: Int64[np.ndarray, "patch 4"], fill: Fill
) -> Float[Tensor, "patch 3 height width"]:
    """The image once for each patch, with that patch covered and all else as it was.

    Args:
        image: as an encoder takes it, so that zero is the preset's mean colour.
        boxes: top, left, bottom, right of each patch.
        fill: ``mean`` is zero, the grey square of Zeiler and Fergus (2014). ``surroundings``
            is the mean of all pixels outside the patch, each weighted by a Gaussian of its distance
            with a standard deviation of half the patch: nothing that the patch held is left, and
            no square with edges of its own is put in.

    Source: Zeiler and Fergus 2014, "Visualizing and understanding convolutional networks",
    section 4.2; the weighted mean is a normalised convolution (Knutsson and Westin 1993).
    """
    height, width = image.shape[1:]
    inside = torch.zeros((len(boxes), 1, height, width), dtype=torch.bool, device=image.device)
    for number, (top, left, bottom, right) in enumerate(boxes.tolist()):
        inside[number, :, top:bottom, left:right] = True
    if fill == "mean":
        return torch.where(inside, torch.zeros_like(image), image)
    left_over = (~inside).to(image)
    side = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    spread = torch.from_numpy(side / 2.0).to(image)
    down, across = _weights(height, spread), _weights(width, spread)
    weight = down @ torch.cat([image * left_over, left_over], dim=1) @ across
    around = weight[:, :3] / weight[:, 3:].clamp_min(torch.finfo(image.dtype).tiny)
    return torch.where(inside, around, image)


def _weights(length: int, spread: Tensor) -> Float[Tensor, "patch 1 length length"]:
    """The weight of each pixel of a line for each other, for each standard deviation."""
    at = torch.arange(length, dtype=spread.dtype, device=spread.device)
    gap = (at[:, None] - at[None, :]) / spread[:, None, None]
    return torch.exp(-0.5 * gap**2)[:, None]
