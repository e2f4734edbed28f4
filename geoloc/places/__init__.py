"""Places: what a point of the Earth is called, by nearest city and by polygon."""

from geoloc.places.areas import Areas, AreaTable, even_land_points
from geoloc.places.gazetteer import CityName, Gazetteer, read_gazetteer

__all__ = [
    "AreaTable",
    "Areas",
    "CityName",
    "Gazetteer",
    "even_land_points",
    "read_gazetteer",
]
