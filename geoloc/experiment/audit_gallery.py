"""An audit by the words of the command line: gallery and places read, held together, drawn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from geoloc.errors import ConfigError
from geoloc.evaluation.gallery_audit import GalleryAudit, audit_gallery
from geoloc.experiment.gathered_places import PlacesRequest, gather_places
from geoloc.experiment.run_directory import RunDirectory
from geoloc.viz.gallery_map import draw_gallery_map


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRequest:
    """What to audit.

    Attributes:
        gallery: its places.
        against: the places to hold it against.
        near_m: gallery places nearer than this are near duplicates.
        picture: PNG to draw; None for none.
        run_folder: of the run whose training places or galleries are meant; None for none.
    """

    gallery: PlacesRequest
    against: PlacesRequest
    near_m: float = 10.0
    picture: Path | None = None
    run_folder: Path | None = None


def run_audit(request: AuditRequest) -> GalleryAudit:
    """Read both sets of places, audit, and draw the map if asked for.

    Raises:
        ConfigError: a source is unknown or needs a run, or the picture is no PNG.
        CoordinateError: a place is out of range.
        DataError: a file or shards cannot be read.
    """
    if request.picture is not None and request.picture.suffix.lower() != ".png":
        raise ConfigError(f"--map {request.picture}: the map is a .png")
    run = None if request.run_folder is None else RunDirectory(path=request.run_folder)
    config = None if run is None else run.config()
    places = gather_places(request.gallery, run=run, config=config).latlon_deg
    others = gather_places(request.against, run=run, config=config).latlon_deg
    name, against = (" + ".join(each.sources) for each in (request.gallery, request.against))
    audit, drawn = audit_gallery(
        places, others, gallery=name, against=against, near_m=request.near_m
    )
    if request.picture is not None:
        draw_gallery_map(
            request.picture,
            gallery_deg=drawn.gallery_deg,
            far_at_sea=drawn.far_at_sea,
            against_deg=drawn.against_deg,
            gap_km=drawn.gap_km,
            title=name,
            against=against,
        )
    return audit
