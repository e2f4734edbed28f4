"""Which part of an image moved the answer: the posterior with one patch after another covered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64
from torch import Tensor

from geoloc.data.transforms import preprocess, seen_box
from geoloc.errors import ConfigError
from geoloc.geodesy import great_circle_km
from geoloc.inference.answers import PlaceAnswer
from geoloc.inference.covering import Fill, covered, patch_boxes
from geoloc.inference.gallery_posterior import GalleryPosterior
from geoloc.inference.geolocator import Geolocator
from geoloc.inference.naming import named_places
from geoloc.inference.occlusion_map import OcclusionMap, TrainingImage
from geoloc.inference.pictures import ImageLike, open_picture, source_name
from geoloc.inference.ranked_places import RankedPlaces
from geoloc.models import ImagePreset
from geoloc.retrieval import Candidates, Embedded

FILLS: tuple[Fill, Fill] = ("mean", "elsewhere")
MOST_CELLS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Occlusion:
    """How an image is covered.

    Attributes:
        cells: of the grid, a side; the cost is 2 cells² + 1 passes of the image tower.
        reach: width of a patch as a multiple of a cell's.
        near_km: "near the answer" is within so many km of it, great circle.
        batch_size: images that go through the model at once; no influence on the result.

    Raises:
        ConfigError: a number is out of range.
    """

    cells: int = 7
    reach: float = 1.5
    near_km: float = 200.0
    batch_size: int = 32

    def __post_init__(self) -> None:
        if not 3 <= self.cells <= MOST_CELLS:
            raise ConfigError(f"cells must lie in 3..{MOST_CELLS}, not {self.cells}")
        # Else what covers a patch could be a piece of it.
        if not 1.0 <= self.reach <= self.cells / 2.0:
            raise ConfigError(
                f"reach must lie in 1..{self.cells / 2.0:g} for {self.cells} cells, not "
                f"{self.reach:g}"
            )
        if not self.near_km > 0.0:
            raise ConfigError(f"near_km must be above zero, not {self.near_km:g}")
        if self.batch_size < 1:
            raise ConfigError(f"batch_size must be at least 1, not {self.batch_size}")


@torch.inference_mode()
def explain(
    geolocator: Geolocator,
    image: ImageLike,
    *,
    how: Occlusion | None = None,
    name: str | None = None,
    references: Embedded | None = None,
    most_alike: int = 6,
) -> OcclusionMap:
    """Which part of an image moved the answer.

    What is compared are the candidates as they are: no decoding moves between a gallery's places.

    Args:
        geolocator: the model and its candidates.
        image: see `geoloc.inference.pictures.ImageLike`.
        how: the grid, and what is near; the default covers 7 x 7 patches.
        name: what to call the image; by default as `source_name` has it.
        references: embedded images of the same model to find the most alike of.
        most_alike: how many of those.

    Raises:
        ImageError: the image cannot be used.
    """
    how, name = how or Occlusion(), name or source_name(image, 0)
    picture = open_picture(image, name=name)
    pixels = preprocess(picture, geolocator.preset).to(geolocator.device)
    asked = _Asked.of(geolocator)
    boxes = patch_boxes(geolocator.preset.size, how.cells, how.reach)
    query = asked.embed(pixels[None])
    best = int(asked.posterior(query).score[0].argmax())
    away_km = great_circle_km(asked.candidates.latlon_deg[best], asked.candidates.latlon_deg)
    near = torch.from_numpy(np.asarray(away_km) <= how.near_km).to(query.device)
    log_near = float(asked.log_mass(query, near)[0])
    mass, place, without = asked.with_patches_covered(pixels, boxes, near, how.batch_size)
    effect = log_near - mass
    mean = effect.mean(axis=0)
    first = int(mean.argmax())
    shape = (how.cells, how.cells)
    answer = asked.named(query, np.array([best]))[0]
    return OcclusionMap(
        source=name,
        seen=_seen_shares(picture.size, geolocator.preset),
        patch=how.reach / how.cells,
        effect=mean.reshape(shape),
        moved_km=np.asarray(away_km)[place].reshape(shape),
        near_km=how.near_km,
        near_probability=float(np.exp(log_near)),
        noise=float(np.sqrt(np.mean((effect[0] - effect[1]) ** 2)) / 2.0),
        agreement=_correlation(effect[0], effect[1]),
        answer=answer,
        strongest=(first // how.cells, first % how.cells),
        without_strongest=asked.named(without[first][None], place[first : first + 1])[0],
        passes=1 + len(FILLS) * len(boxes),
        model=geolocator.fingerprint,
        gallery=asked.candidates.name,
        training=None
        if references is None
        else most_alike_images(geolocator, query, references, answer, count=most_alike),
    )


def _seen_shares(size: tuple[int, int], preset: ImagePreset) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of what the model sees, as shares of width and height."""
    left, top, right, bottom = seen_box(size, preset)
    width, height = size
    return left / width, top / height, right / width, bottom / height


def most_alike_images(
    geolocator: Geolocator,
    query: Float32[Tensor, "1 embedding"],
    references: Embedded,
    answer: PlaceAnswer,
    *,
    count: int,
) -> tuple[TrainingImage, ...]:
    """The reference images whose embeddings have the largest cosine with a query's.

    Args:
        geolocator: whose model embedded the references and the query.
        query: its unit vector.
        references: the images.
        answer: what distances are measured to.
        count: how many, at most all.
    """
    images = Candidates.of_images(references, model_fingerprint=geolocator.fingerprint)
    asked = _Asked.of(geolocator, images.to(geolocator.device))
    rows = asked.posterior(query).by_score(count)[0].cpu().numpy()
    places = asked.named(query.expand(len(rows), -1), rows)
    away_km = great_circle_km(np.array(answer.latlon_deg), images.latlon_deg[rows])
    return tuple(
        TrainingImage(place=place, answer_km=km)
        for place, km in zip(places, np.asarray(away_km).tolist(), strict=True)
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Asked:
    """The candidates that embeddings are compared with, and the scale of their softmax."""

    embed: Callable[[Tensor], Tensor]
    candidates: Candidates
    scale: float

    @classmethod
    def of(cls, geolocator: Geolocator, candidates: Candidates | None = None) -> _Asked:
        stages, known = geolocator.stages, geolocator.calibration
        return cls(
            embed=stages.embed_pixels,
            candidates=candidates or stages.answerer.candidates,
            scale=stages.answerer.scale if known is None else known.scale,
        )

    def posterior(self, query: Float32[Tensor, "query embedding"]) -> GalleryPosterior:
        return GalleryPosterior.of(
            query, self.candidates.embedding, scale=self.scale, offset=self.candidates.offset
        )

    def log_mass(
        self, query: Float32[Tensor, "query embedding"], near: Bool[Tensor, " candidate"]
    ) -> Float64[np.ndarray, " query"]:
        """Logarithm of the softmax's mass on some candidates."""
        # Of logits, not of the posterior: the logarithm of a mass too small for a float32.
        logit = self.scale * self.posterior(query).score.double()
        mass = torch.logsumexp(logit[:, near], dim=1) - torch.logsumexp(logit, dim=1)
        return mass.cpu().numpy()

    def with_patches_covered(
        self,
        pixels: Float32[Tensor, "3 h w"],
        boxes: Int64[np.ndarray, "patch 4"],
        near: Bool[Tensor, " candidate"],
        batch_size: int,
    ) -> tuple[
        Float64[np.ndarray, "fill patch"],
        Int64[np.ndarray, " patch"],
        Float32[Tensor, "patch embedding"],
    ]:
        """Log mass near the answer by fill; best candidate and embedding under the first fill."""
        masses: list[np.ndarray] = []
        embedded: list[Tensor] = []
        for fill in FILLS:
            parts = [
                self.embed(covered(pixels, boxes[start : start + batch_size], fill))
                for start in range(0, len(boxes), batch_size)
            ]
            masses.append(np.concatenate([self.log_mass(part, near) for part in parts]))
            embedded.append(torch.cat(parts))
        best = [self.posterior(part).score.argmax(1) for part in embedded[0].split(batch_size)]
        return np.stack(masses), torch.cat(best).cpu().numpy(), embedded[0]

    def named(
        self, query: Float32[Tensor, "row embedding"], rows: Int64[np.ndarray, " row"]
    ) -> list[PlaceAnswer]:
        """One candidate for each query, with its score and its own probability."""
        posterior, chosen = self.posterior(query), torch.from_numpy(rows)[:, None]
        score, probability = (
            values.double().cpu().gather(1, chosen).numpy()
            for values in (posterior.score, posterior.probability)
        )
        ranked = [
            RankedPlaces(
                index=row[None],
                latlon_deg=self.candidates.latlon_deg[row][None],
                score=own,
                probability=share,
            )
            for row, own, share in zip(rows, score, probability, strict=True)
        ]
        return [best for (best,) in named_places(ranked, self.candidates.reference_key)]


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson's; 0 where one of the two does not vary."""
    centred = [each - each.mean() for each in (first, second)]
    size = float(np.sqrt((centred[0] ** 2).sum() * (centred[1] ** 2).sum()))
    return float((centred[0] * centred[1]).sum() / size) if size > 0.0 else 0.0
