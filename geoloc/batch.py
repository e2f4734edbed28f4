"""GeoBatch: what the data room hands to training, evaluation and inference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class GeoBatch:
    """Samples with their places: pixels, or features of a frozen backbone, never neither.

    Attributes:
        key: one name a sample, unique within a data set.
        latlon_deg: latitude and longitude in degrees, float64, clean (no augmentation noise).
        image: preprocessed pixels, or None where features stand in for them.
        feature: features of the frozen backbone, or None where there are pixels.
        label: what the data set says of each sample (country, city, ...); may be empty mappings.
        cell: number of the geocell that each place lies in; None where nothing asks for it.
    """

    key: tuple[str, ...]
    latlon_deg: Float[Tensor, "batch 2"]
    image: Float[Tensor, "batch 3 height width"] | None = None
    feature: Float[Tensor, "batch feature"] | None = None
    label: tuple[Mapping[str, Any], ...] = ()
    cell: Int64[Tensor, " batch"] | None = None

    def __post_init__(self) -> None:
        if self.image is None and self.feature is None:
            raise ValueError("a GeoBatch holds images or features; this one has neither")
        if len(self.key) != self.latlon_deg.shape[0]:
            raise ValueError(f"{len(self.key)} keys for {self.latlon_deg.shape[0]} places")

    def __len__(self) -> int:
        return len(self.key)

    def to(self, device: torch.device | str) -> GeoBatch:
        """The same batch with its tensors on `device` (copied without blocking where possible)."""
        return replace(
            self,
            latlon_deg=self.latlon_deg.to(device, non_blocking=True),
            image=None if self.image is None else self.image.to(device, non_blocking=True),
            feature=None if self.feature is None else self.feature.to(device, non_blocking=True),
            cell=None if self.cell is None else self.cell.to(device, non_blocking=True),
        )
