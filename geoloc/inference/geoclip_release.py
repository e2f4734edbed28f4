"""Releases of GeoCLIP as its package 1.3.0 reads them: a folder, or a repository on the Hub."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from geoloc.errors import CheckpointError
from geoloc.models.hub_files import HubAccess, folder_of
from geoloc.models.weight_files import read_tensors

CLIP_REPOSITORY = "openai/clip-vit-large-patch14"
WEIGHTS_FILES = (
    "model.safetensors",
    "open_clip_model.safetensors",
    "pytorch_model.bin",
    "open_clip_pytorch_model.bin",
)
FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What a release holds.

    Attributes:
        folder: where its files are.
        sigma: of the location encoder's branches.
        weights: name → tensor.
        settings: the rest of its config.json.
    """

    folder: Path
    sigma: tuple[float, ...]
    weights: dict[str, Tensor]
    settings: Mapping[str, Any]

    @property
    def gallery_file(self) -> Path:
        """The CSV of places.

        Raises:
            CheckpointError: config.json does not name one inside the release.
        """
        name = self.settings.get("gallery_file")
        if not isinstance(name, str) or not name.endswith(".csv") or Path(name).name != name:
            raise CheckpointError(
                f"{self.folder}/config.json: gallery_file must name a CSV inside the release"
            )
        return self.folder / name

    def clip_file(self, access: HubAccess) -> Path:
        """The weights of the CLIP that the release was trained on, fetched if need be.

        Raises:
            CheckpointError: config.json names none, or it cannot be had.
        """
        backbone = self.settings.get("backbone")
        if not isinstance(backbone, Mapping) or "repo_id" not in backbone:
            raise CheckpointError(f"{self.folder}/config.json names no backbone")
        told = cast("Mapping[str, Any]", backbone)
        return clip_file(str(told["repo_id"]), revision=told.get("revision"), access=access)


def read_release(
    source: str | Path, kind: str, *, revision: str | None = None, access: HubAccess | None = None
) -> Release:
    """A release of a kind.

    Args:
        source: a folder, or ``owner/name`` on the Hub.
        kind: its ``model_type``: ``geoclip-geolocation`` or ``geoclip-location-encoder``.
        revision: branch, tag or commit on the Hub.
        access: how the Hub is asked.

    Raises:
        CheckpointError: it cannot be had, is damaged, or of another kind.
    """
    patterns = ("config.json", "model.safetensors", "*.csv")
    folder = folder_of(source, patterns=patterns, revision=revision, access=access)
    file = folder / "config.json"
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
        known = (settings["model_type"], settings["format_version"]) == (kind, FORMAT_VERSION)
        sigma = tuple(float(value) for value in settings["sigma"]) if known else ()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{file}: cannot be read as GeoCLIP's: {error!r}") from error
    if not known:
        raise CheckpointError(f"{file}: no {kind} of format_version {FORMAT_VERSION}")
    weights = read_tensors(folder / "model.safetensors")
    return Release(folder=folder, sigma=sigma, weights=weights, settings=settings)


def clip_file(
    source: str | Path | None,
    *,
    revision: str | None = None,
    access: HubAccess | None = None,
) -> Path:
    """The file with a CLIP's weights.

    Args:
        source: the file; a folder with it; or ``owner/name`` on the Hub, by default OpenAI's
            ViT-L/14, the same file that transformers keeps for the released GeoCLIP.
        revision: branch, tag or commit on the Hub.
        access: how the Hub is asked.

    Raises:
        CheckpointError: it cannot be had, or the folder has no weights.
    """
    asked = CLIP_REPOSITORY if source is None else source
    if Path(asked).is_file():
        return Path(asked).resolve()
    patterns = WEIGHTS_FILES[:1]
    folder = folder_of(asked, patterns=patterns, revision=revision, access=access)
    for name in WEIGHTS_FILES:
        if (folder / name).is_file():
            # Named in full, a file is never taken for one of open_clip's tags.
            return (folder / name).absolute()
    raise CheckpointError(f"{folder}: no weights of a CLIP ({', '.join(WEIGHTS_FILES)})")
