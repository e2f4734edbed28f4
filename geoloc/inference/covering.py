"""Covering parts of an image: a grid of patches, and what is put in their place."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

Fill: TypeAlias = Literal["mean", "elsewhere"]
"""What covers a patch: one colour, or another piece of the same image."""


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
        image: as an encoder takes it.
        boxes: top, left, bottom, right of each patch; none as large as the image.
        fill: ``mean`` is the mean colour of all that is outside the patch: no new detail, but a
            flat square with edges. ``elsewhere`` is the piece half a side down and half a side to
            the right, around the edges of the image: as rough as the image is, but detail of
            another part. Nothing that the patch held is left under either.

    Source: Zeiler and Fergus 2014, "Visualizing and understanding convolutional networks",
    section 4.2, who cover with grey. Grey is no neutral colour to a tower that has seen only
    green and blue (docs/explanations.md), the image's own mean is nearer to one.
    """
    height, width = image.shape[1:]
    inside = torch.zeros((len(boxes), 1, height, width), dtype=torch.bool, device=image.device)
    for number, (top, left, bottom, right) in enumerate(boxes.tolist()):
        inside[number, :, top:bottom, left:right] = True
    if fill == "elsewhere":
        return torch.where(inside, image.roll((height // 2, width // 2), dims=(1, 2)), image)
    outside = (~inside).to(image)
    mean = (image * outside).sum((2, 3), keepdim=True) / outside.sum((2, 3), keepdim=True)
    return torch.where(inside, mean, image)
