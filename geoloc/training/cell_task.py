"""CellTask: naming the geocell of each image, beside the contrastive loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from geoloc.batch import GeoBatch
from geoloc.errors import ConfigError
from geoloc.geodesy import pairwise_great_circle_km
from geoloc.losses import cell_cross_entropy
from geoloc.models import DualEncoder
from geoloc.ranks import Ranks
from geoloc.regions import Geocells


@dataclass(frozen=True, slots=True, kw_only=True)
class CellTask:
    """The second task of a step.

    Attributes:
        cells: whose numbers are named.
        weight: of its loss, beside a contrastive loss of weight one.
        smoothing_km: length over which the target is spread over near cells; 0 names the true cell
            alone.
        ranks: the processes of the run.
    """

    cells: Geocells
    weight: float = 1.0
    smoothing_km: float = 0.0
    ranks: Ranks = field(default_factory=Ranks)
    _centre_deg: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_centre_deg", torch.from_numpy(self.cells.centre_deg))
        if not self.weight > 0.0 or self.smoothing_km < 0.0:
            raise ConfigError("cells.weight is above 0, cells.smoothing_km 0 or more")

    def labelled(self, batch: GeoBatch) -> GeoBatch:
        """The batch with the cell of each place; before it leaves for a device."""
        number = self.cells.cells_of_places(batch.latlon_deg.cpu().numpy())
        return replace(batch, cell=torch.from_numpy(number))

    def loss(
        self, model: DualEncoder, batch: GeoBatch, image: Float[Tensor, "batch embedding"]
    ) -> tuple[Float[Tensor, ""], Mapping[str, Float[Tensor, ""]]]:
        """The weighted loss of a labelled batch, and values worth logging.

        With several processes every one calls it with its own part and gets the values of the whole
        batch; the gradient is `ranks.size` times that of its part, as of the loss over pairs.
        """
        assert batch.cell is not None, "the batch was labelled"
        logits = model.cell_logits(image)
        centre = self._centre_deg.to(batch.latlon_deg.device, non_blocking=True)
        target = cell_targets(batch.latlon_deg, batch.cell, centre, smoothing_km=self.smoothing_km)
        mine = cell_cross_entropy(logits, target).sum()
        found = (logits.argmax(dim=1) == batch.cell).sum()
        whole = self.ranks.total(torch.stack([mine, found, mine.new_tensor(len(batch))]))
        loss, top1 = whole[:2] / whole[2]
        asked = self.ranks.size / whole[2] * mine
        # equal on all processes, so that all or none of them leave a step out
        value = loss + (asked - asked.detach())
        return self.weight * value, {"cell_loss": loss, "cell_top1": top1}


def cell_targets(
    latlon_deg: Float[Tensor, "place 2"],
    cell: Int64[Tensor, " place"],
    centre_deg: Float[Tensor, "cell 2"],
    *,
    smoothing_km: float,
) -> Float[Tensor, "place cell"]:
    """The share of each cell in each place's target; every row sums to one.

    A cell's share falls by exp(-(d - d_own) / smoothing_km), d the great circle from the place to
    the cell's centre; cells whose centres are nearer than the own one's count as near as it.

    Args:
        latlon_deg: places.
        cell: that each lies in.
        centre_deg: of the cells.
        smoothing_km: 0 gives the own cell all.

    Source: L. Haas, M. Skreta, S. Alberti, C. Finn, "PIGEON: Predicting image geolocations", CVPR
    2024, equation 2, here normalised and bounded by the own cell's share.
    """
    if smoothing_km == 0.0:
        return torch.nn.functional.one_hot(cell, len(centre_deg)).float()
    apart_km = pairwise_great_circle_km(latlon_deg, centre_deg)
    own_km = apart_km.gather(1, cell[:, None])
    return torch.softmax(-((apart_km - own_km).clamp(min=0.0) / smoothing_km), dim=1).float()
