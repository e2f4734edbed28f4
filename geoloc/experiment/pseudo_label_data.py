"""What a run of pseudo-labels works on: stations, the covariates of all places, and images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64, UInt8

from geoloc.data.earth_image import cut_tiles, load_earth_image
from geoloc.data.packaged_fields import read_field
from geoloc.data.station_series import StationSeries
from geoloc.data.station_table import read_stations
from geoloc.errors import ConfigError
from geoloc.evaluation import spatial_blocks
from geoloc.experiment.pseudo_label_schema import PlacesSection, PseudoLabelConfig
from geoloc.places import even_land_points

_DAYS_A_YEAR = 365.25
_FEWEST = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Parts:
    """Which places are what, in one draw.

    Attributes:
        stations: their measurements are known.
        tested: their measurements are known to the judge alone; in other blocks than stations.
        unlabelled: they have an image, and what they measure is not looked at.
    """

    stations: Int64[np.ndarray, " station"]
    tested: Int64[np.ndarray, " tested"]
    unlabelled: Int64[np.ndarray, " unlabelled"]


def load_series(config: PseudoLabelConfig) -> StationSeries:
    """The stations of a run, from a CSV file or sampled from a field on land.

    Raises:
        ConfigError: the field is unknown, or its package is not installed.
        DataError: a file is missing or broken.
    """
    if Path(config.field).suffix == ".csv":
        return read_stations(Path(config.field), unit=config.unit)
    return _sampled(config.field, config.places)


def land_places(
    count: int, *, south_deg: float, north_deg: float
) -> Float64[np.ndarray, "place 2"]:
    """Places even by area on land, of `count` on all land those between two latitudes."""
    latlon_deg = even_land_points(count)
    latitude = latlon_deg[:, 0]
    return latlon_deg[(latitude >= south_deg) & (latitude <= north_deg)]


def _sampled(source: str, places: PlacesSection) -> StationSeries:
    latlon_deg = land_places(places.count, south_deg=places.south_deg, north_deg=places.north_deg)
    field = read_field(source)
    value = field.at(latlon_deg).T.astype(np.float64)
    altitude_m = read_field("package:altitude").at(latlon_deg)[0].astype(np.float64)
    # the few shores that have none lie at the sea
    altitude_m = np.nan_to_num(altitude_m, nan=0.0)
    covariate = np.broadcast_to(altitude_m[:, None, None], (*value.shape, 1)).copy()
    return StationSeries(
        name=field.name,
        unit=field.unit,
        station=tuple(f"{number:05d}" for number in range(len(latlon_deg))),
        latlon_deg=latlon_deg,
        time_day=field.time_day,
        value=value,
        covariate=covariate,
        covariates=("altitude_m",),
    )


def all_covariates(
    series: StationSeries, *, longitude: bool
) -> tuple[Float64[np.ndarray, "place time covariate"], tuple[str, ...]]:
    """The series' own covariates, then latitude, longitude if wanted, and the season's phase."""
    shape = series.value.shape
    phase = 2.0 * np.pi * series.time_day / _DAYS_A_YEAR
    columns = {
        "latitude_deg": series.latlon_deg[:, :1],
        **({"longitude_deg": series.latlon_deg[:, 1:]} if longitude else {}),
        "season_sine": np.sin(phase)[None],
        "season_cosine": np.cos(phase)[None],
    }
    spread = [np.broadcast_to(each, shape)[..., None] for each in columns.values()]
    return np.concatenate([series.covariate, *spread], axis=2), (*series.covariates, *columns)


def cut_images(
    series: StationSeries, config: PseudoLabelConfig
) -> UInt8[np.ndarray, "place pixels pixels 3"]:
    """A tile of the Earth's picture around each place.

    Raises:
        DataError: there is no picture, or it is not of the whole Earth.
    """
    images = config.images
    earth = load_earth_image(images.picture, pixel_km=images.tile_km / images.pixels)
    return cut_tiles(earth, series.latlon_deg, tile_km=images.tile_km, pixels=images.pixels)


def draw_parts(series: StationSeries, config: PseudoLabelConfig, seed: int) -> Parts:
    """Deal places out by chance: blocks are for learning or for the test, never for both.

    Unlabelled places may lie in all blocks. Places without any measurement are unlabelled first.

    Raises:
        ConfigError: there are too few places with measurements.
    """
    generator = np.random.default_rng(seed)
    block = spatial_blocks(series.latlon_deg, block_km=config.block_km)
    measured = np.asarray(series.known.any(axis=1))
    blocks = np.unique(block[measured])
    chosen = generator.permutation(blocks)[: max(1, round(config.test_share * len(blocks)))]
    apart = np.isin(block, chosen)
    order = generator.permutation(len(block))
    tested = order[(measured & apart)[order]][: config.tested]
    stations = order[(measured & ~apart)[order]][: config.stations]
    if min(len(tested), len(stations)) < _FEWEST:
        raise ConfigError(
            f"{len(stations)} stations to learn from and {len(tested)} to test with: three of each "
            "at least; make block_km smaller, or change test_share"
        )
    rest = order[~np.isin(order, np.concatenate([tested, stations]))]
    if not len(rest):
        raise ConfigError(
            f"all {len(order)} places are stations or held out, and none is left for a "
            "pseudo-label: ask for fewer stations or tested"
        )
    rest = rest[np.argsort(measured[rest], kind="stable")]
    return Parts(stations=stations, tested=tested, unlabelled=rest[: config.unlabelled])
