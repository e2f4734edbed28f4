"""An explained answer of a run: the occlusion map, the training images most alike, and the page."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from geoloc.errors import DataError
from geoloc.experiment.build import Say
from geoloc.experiment.run_directory import RunDirectory
from geoloc.experiment.thumbnails import thumbnails
from geoloc.experiment.training_images import training_images
from geoloc.inference import Geolocator
from geoloc.inference.explanation import Occlusion, explain
from geoloc.inference.occlusion_map import OcclusionMap
from geoloc.inference.pictures import open_picture
from geoloc.viz.explanation_page import Explained, write_explanation_page


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainRequest:
    """What to explain.

    Attributes:
        image: file of the image.
        run_folder: the run that is asked.
        gallery: one of the run's galleries, or a gallery's folder; None for the run's default.
        references: folder of embedded images (`geoloc embed`); None takes cached features.
        how: the grid, and what is near.
        most_alike: how many training images are told; 0 looks for none.
        device: where to compute.
        backbone_weights: the file of a frozen backbone's weights, where it is not where it was
            during training.
    """

    image: Path
    run_folder: Path
    gallery: str | None = None
    references: Path | None = None
    how: Occlusion = field(default_factory=Occlusion)
    most_alike: int = 6
    device: str = "cpu"
    backbone_weights: Path | None = None


def explain_image(request: ExplainRequest, *, page: Path | None, say: Say) -> OcclusionMap:
    """The occlusion map of one image, and a page of it if asked for.

    Raises:
        GeolocError: as of `Geolocator.load`, `explain` and `training_images`.
    """
    geolocator = Geolocator.load(
        request.run_folder,
        gallery=request.gallery,
        device=request.device,
        backbone_weights=request.backbone_weights,
    )
    config = RunDirectory(path=request.run_folder).config()
    references = None
    if request.most_alike:
        references = training_images(
            geolocator.model,
            config,
            references=request.references,
            device=str(geolocator.device),
            say=say,
        )
    found = explain(
        geolocator,
        request.image,
        how=request.how,
        references=references,
        most_alike=request.most_alike,
    )
    if page is not None:
        write_explanation_page(
            _shown(found),
            page,
            image=open_picture(request.image),
            pictures=_pictures(config.data.train, found),
        )
    return found


def _shown(found: OcclusionMap) -> Explained:
    alike = found.training
    return Explained(
        source=found.source,
        words=found.words(),
        reliable=found.reliable,
        seen=found.seen,
        effect=found.effect,
        noise=found.noise,
        strongest=found.strongest,
        answer=found.answer,
        without_strongest=found.without_strongest,
        training=None if alike is None else [(each.place, each.answer_km) for each in alike],
        passes=found.passes,
    )


def _pictures(source: str, found: OcclusionMap) -> dict[str, bytes]:
    """Thumbnails of the training images, of those that can be had."""
    keys = [each.place.reference for each in found.training or ()]
    if not keys:
        return {}
    try:
        return thumbnails(source, [key for key in keys if key is not None])
    except DataError:
        return {}
