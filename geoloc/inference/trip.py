"""A trip: images in order of time, each located with what the others say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from geoloc.errors import ConfigError
from geoloc.geodesy import pairwise_great_circle_km
from geoloc.inference.gallery_posterior import GalleryPosterior

CANDIDATES = 400
"""Places of each image that take part in the smoothing."""

_LEAST = 1e-30


@dataclass(frozen=True, slots=True, kw_only=True)
class Travel:
    """How people move between two photographs.

    The probability of a distance d after t hours falls as exp(-d / (local_km + speed_kmh t)); a
    share of steps goes anywhere, so that a flight never makes a trip impossible. The three were
    chosen by reason, not fitted: give your own where you know better.

    Attributes:
        local_km: mean distance without any time between.
        speed_kmh: by which that mean grows.
        anywhere: share of steps that may end at any place, in 0..1.
    """

    local_km: float = 25.0
    speed_kmh: float = 30.0
    anywhere: float = 0.01

    def __post_init__(self) -> None:
        if not (self.local_km > 0 and self.speed_kmh >= 0 and 0 <= self.anywhere <= 1):
            raise ConfigError(
                "travel: local_km must be above 0, speed_kmh at least 0 and anywhere in 0..1, not "
                f"{self.local_km:g}, {self.speed_kmh:g}, {self.anywhere:g}"
            )

    def step_log(
        self, distance_km: Float64[Tensor, "before after"], hours: float
    ) -> Float64[Tensor, "before after"]:
        """Log probability of each place (column) after each place (row); rows sum to one.

        Args:
            distance_km: between the places.
            hours: between the two images, at least 0.
        """
        near = torch.log_softmax(-distance_km / (self.local_km + self.speed_kmh * hours), dim=1)
        if self.anywhere == 0.0:
            return near
        far = torch.full_like(near, self.anywhere / near.shape[1]).log()
        return torch.logaddexp(near + np.log1p(-min(self.anywhere, 1 - 1e-12)), far)


def check_times(times_h: Sequence[float], images: int) -> list[float]:
    """Hours between neighbours in time.

    Args:
        times_h: of the images, in hours since any moment.
        images: how many there are.

    Raises:
        ConfigError: there is not one finite time an image, or they are not in order.
    """
    times = np.asarray(times_h, dtype=np.float64)
    if times.shape != (images,) or not np.isfinite(times).all():
        raise ConfigError(f"a trip needs one time in hours for each of its {images} images")
    steps = np.diff(times)
    if (steps < 0).any():
        raise ConfigError("the images of a trip must come in order of time")
    return steps.tolist()


def trip_posterior(
    posterior: GalleryPosterior,
    latlon_deg: Float64[np.ndarray, "place 2"],
    steps_h: Sequence[float],
    travel: Travel,
) -> GalleryPosterior:
    """The posterior of each image given all images of the trip.

    The `CANDIDATES` most probable places of each image and of its neighbours in time take part;
    all others get nothing. Scores stay those of the images.

    Args:
        posterior: of the images one by one, in order of time.
        latlon_deg: of the gallery.
        steps_h: between neighbours in time.
        travel: how people move.
    """
    rows = _taking_part(posterior)
    places = [torch.from_numpy(latlon_deg[each.numpy()]) for each in rows]
    seen = [
        one[each].double().clamp_min(_LEAST).log()
        for one, each in zip(posterior.probability.cpu(), rows, strict=True)
    ]
    steps = [
        travel.step_log(pairwise_great_circle_km(before, after), hours)
        for before, after, hours in zip(places, places[1:], steps_h, strict=False)
    ]
    probability = torch.zeros_like(posterior.probability)
    for image, told in enumerate(smoothed(seen, steps)):
        probability[image, rows[image].to(probability.device)] = told.to(probability)
    return GalleryPosterior(score=posterior.score, probability=probability)


def smoothed(
    seen: Sequence[Float64[Tensor, " _"]], steps: Sequence[Float64[Tensor, "_ _"]]
) -> list[Float64[Tensor, " _"]]:
    """The posterior of each link of a chain given all of them: the forward-backward algorithm.

    Args:
        seen: of each link, the log probability of what was seen there at each of its places.
        steps: of each two neighbours, the log probability of going from a place of the first to
            one of the second.

    Returns:
        Probabilities over the places of each link, each summing to one.

    Source: Rabiner 1989, "A tutorial on hidden Markov models", section III.A, in logarithms.
    """
    forward = [seen[0]]
    for here, step in zip(seen[1:], steps, strict=True):
        forward.append(here + torch.logsumexp(forward[-1][:, None] + step, dim=0))
    backward = [torch.zeros_like(seen[-1])]
    for after, step in zip(reversed(seen[1:]), reversed(steps), strict=True):
        backward.append(torch.logsumexp(step + (after + backward[-1])[None, :], dim=1))
    return [
        torch.softmax(before + later, dim=0)
        for before, later in zip(forward, reversed(backward), strict=True)
    ]


def _taking_part(posterior: GalleryPosterior) -> list[Int64[Tensor, " _"]]:
    hits = posterior.by_probability(CANDIDATES).cpu()
    around = [torch.unique(hits[max(at - 1, 0) : at + 2]) for at in range(len(hits))]
    return [rows[rows >= 0] for rows in around]
