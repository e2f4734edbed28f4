"""Errors that geoloc raises on purpose; everything else that escapes is a bug."""

from __future__ import annotations


class GeolocError(Exception):
    """Root of every deliberate error; the command line turns it into one line and exit code 2."""


class CoordinateError(GeolocError, ValueError):
    """A latitude or longitude is missing, not finite or out of range."""


class ImageError(GeolocError, ValueError):
    """Bytes or a file cannot be used as an image.

    Args:
        message: what is wrong, in one line.
        kind: a short word for counting, such as ``"truncated"`` or ``"too_large"``.
    """

    def __init__(self, message: str, *, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


class DataError(GeolocError):
    """A data set is missing, empty, inconsistent or damaged."""


class LostSamplesError(DataError):
    """More samples were lost on the way than the configuration allows."""


class ConfigError(GeolocError, ValueError):
    """A configuration names an unknown key or holds an impossible value."""


class CheckpointError(GeolocError):
    """A checkpoint is missing, torn, or belongs to another model."""


class MismatchError(GeolocError):
    """Two artifacts do not belong together (a gallery and a model, a cache and a backbone)."""


class TrainingError(GeolocError):
    """Training cannot go on (a loss that is not finite, a split without samples)."""
