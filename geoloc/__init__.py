"""geoloc learns where on Earth an image was taken.

Rooms, from the bottom up: `geodesy`, `places`, `losses`, `models`, `retrieval`, `data`,
`negatives`, `evaluation`, `training`, `inference`, `viz`, `experiment`, `cli`. A room imports only
from lower floors; `docs/architecture.md` has the plan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from geoloc._version import __version__

if TYPE_CHECKING:
    from geoloc.inference.geolocator import Geolocator

__all__ = ["Geolocator", "__version__"]


def __getattr__(name: str) -> Any:
    # Imported at first use, so that `import geoloc.geodesy` stays light.
    if name == "Geolocator":
        from geoloc.inference.geolocator import Geolocator

        return Geolocator
    raise AttributeError(f"module 'geoloc' has no attribute {name!r}")
