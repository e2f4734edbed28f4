"""Every key of a run of `geoloc pseudolabel`, with its unit and its default."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from geoloc.experiment.schema import Count, CountOrZero, Positive, Section, Share


class ForestSection(Section):
    """Sizes of the forest: see `geoloc.downstream.ForestSettings`."""

    embedding_trees: Count = 40
    embedding_depth: Count = 5
    trees: Count = 60
    min_leaf: Count = 3
    max_features: Annotated[float, Field(gt=0.0, le=1.0)] = 0.05


class NetworkSection(Section):
    """Shape and training of the network: see `geoloc.downstream.NetworkSettings`."""

    channels: Count = 16
    hidden: Count = 64
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.2
    epochs: Count = 20
    learning_rate: Positive = 3e-3
    weight_decay: Annotated[float, Field(ge=0.0)] = 1e-2
    images_a_step: Count = 32


class PlacesSection(Section):
    """Places on land, even by area, that a gridded field and the altitude are sampled at."""

    count: Count = 2000
    south_deg: Annotated[float, Field(ge=-90.0, le=90.0)] = -56.0
    north_deg: Annotated[float, Field(ge=-90.0, le=90.0)] = 72.0


class ImagesSection(Section):
    """Tiles of a picture of the Earth around the places; null is Blue Marble."""

    picture: Path | None = None
    tile_km: Positive = 128.0
    pixels: Annotated[int, Field(ge=8)] = 32


class KrigingSection(Section):
    """The variogram that pseudo-labels are kriged with, pooled over all steps."""

    model: Literal["exponential", "spherical", "gaussian", "stable", "matern"] = "exponential"
    classes: Annotated[int, Field(ge=3)] = 12
    max_lag_km: Positive = 6000.0
    neighbours: Count | None = None


class PseudoLabelConfig(Section):
    """Stations, images without one, and what is made of both.

    `field`: a gridded field by its name (`geoloc.data.packaged_fields.read_field`), or a `.csv` of
    stations. `stations`: how many have measurements to learn from. `tested`: how many others are
    held out. `unlabelled`: how many more places have an image and no measurement. `block_km`: side
    of the blocks that are either for learning or for the test. `test_share`: of the blocks.
    `trust`: part of the sill at which a pseudo-label counts half (`PseudoLabels.weights`).
    `longitude`: whether the regressor is told it. `seeds`: each draws everything anew.
    """

    field: str = "package:linke-turbidity"
    unit: str = "1"
    places: PlacesSection = PlacesSection()
    images: ImagesSection = ImagesSection()
    stations: Count = 60
    tested: Annotated[int, Field(ge=3)] = 200
    unlabelled: Count = 600
    block_km: Positive = 1000.0
    test_share: Annotated[Share, Field(gt=0.0, lt=1.0)] = 0.33
    trust: Positive = 0.5
    longitude: bool = False
    kriging: KrigingSection = KrigingSection()
    forest: ForestSection = ForestSection()
    network: NetworkSection = NetworkSection()
    seeds: tuple[CountOrZero, ...] = (0, 1, 2, 3, 4)

    @model_validator(mode="after")
    def _agree(self) -> PseudoLabelConfig:
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise ValueError("give at least one seed, and no seed twice")
        if not self.places.south_deg < self.places.north_deg:
            raise ValueError("places.south_deg must be south of places.north_deg")
        return self
