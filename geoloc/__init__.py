"""geoloc learns where on Earth an image was taken.

Rooms, from the bottom up: `geodesy`, `places`, `losses`, `models`, `retrieval`, `data`,
`negatives`, `evaluation`, `training`, `inference`, `viz`, `experiment`, `cli`. A room imports only
from lower floors; `docs/architecture.md` has the plan.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from geoloc._version import __version__

if TYPE_CHECKING:
    from geoloc.inference.geoclip import GeoCLIP
    from geoloc.inference.geoclip_encoders import ImageEncoder, LocationEncoder
    from geoloc.inference.geolocator import Geolocator

__all__ = ["GeoCLIP", "Geolocator", "ImageEncoder", "LocationEncoder", "__version__"]

_HOMES = {
    "GeoCLIP": "geoloc.inference.geoclip",
    "Geolocator": "geoloc.inference.geolocator",
    "ImageEncoder": "geoloc.inference.geoclip_encoders",
    "LocationEncoder": "geoloc.inference.geoclip_encoders",
}


def __getattr__(name: str) -> Any:
    # Imported at first use, so that `import geoloc.geodesy` stays light.
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'geoloc' has no attribute {name!r}")
