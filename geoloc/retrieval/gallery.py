"""Gallery: the places that an answer can be, encoded once and kept."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from geoloc.artifacts import (
    check_sha256,
    read_json,
    sha256_of,
    write_atomically,
    write_json,
)
from geoloc.errors import DataError, MismatchError
from geoloc.geodesy import validate_latlon
from geoloc.retrieval.places_sources import distinct_places
from geoloc.retrieval.vectors import check_unit

SCHEMA_VERSION = 1
_CARD = "gallery.json"
# A name becomes a folder and part of a file's path: no separators, nothing hidden, no "..".
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


def is_gallery_name(name: str) -> bool:
    """Whether a gallery may be called so: letters, digits, ``.``, ``_``, ``-``, no leading dot."""
    return _NAME.fullmatch(name) is not None


def places_fingerprint(latlon_deg: Float64[np.ndarray, "place 2"]) -> str:
    """SHA-256 of places in their order, as little-endian float64 degrees."""
    return hashlib.sha256(np.ascontiguousarray(latlon_deg + 0.0, dtype="<f8").tobytes()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gallery:
    """Distinct places with their embeddings under one model.

    Attributes:
        latlon_deg: the places.
        embedding: their unit vectors, on the CPU, row by row.
        model_fingerprint: of the model that encoded them.
        places_fingerprint: of the places (`places_fingerprint`).
        duplicates_dropped: how many of the places given were exact repetitions.
        name: what reports call it (`is_gallery_name`).
        drawn_from: how many places there were before these were chosen at random among them;
            None where all were taken, or where it is not known.
    """

    latlon_deg: Float64[np.ndarray, "place 2"]
    embedding: Float32[Tensor, "place embedding"]
    model_fingerprint: str
    places_fingerprint: str
    duplicates_dropped: int
    name: str
    drawn_from: int | None = None

    def __len__(self) -> int:
        return len(self.latlon_deg)

    @classmethod
    def build(
        cls,
        latlon_deg: Float64[np.ndarray, "place 2"],
        encode: Callable[[Tensor], Tensor],
        *,
        model_fingerprint: str,
        name: str,
        batch_size: int = 4096,
        drawn_from: int | None = None,
    ) -> Gallery:
        """Encode places; exact repetitions are dropped (the first stays) and counted.

        Args:
            latlon_deg: the places.
            encode: from (b, 2) float64 degrees on the CPU to (b, d) unit vectors, such as
                `DualEncoder.embed_places`.
            model_fingerprint: of the model behind `encode`.
            name: what reports shall call the gallery.
            batch_size: places encoded at a time.
            drawn_from: how many places these were chosen from at random, if they were.

        Raises:
            CoordinateError: a place is not finite or out of range.
            DataError: there are no places, an embedding is not of length one, or the name has
                other characters than letters, digits, ``.``, ``_`` and ``-``.
        """
        _check_name(name, where="the gallery")
        places, dropped = _distinct(latlon_deg)
        with torch.no_grad():
            parts = [
                encode(block).detach().float().cpu()
                for block in torch.from_numpy(places).split(batch_size)
            ]
        embedding = torch.cat(parts)
        if embedding.shape[0] != len(places):
            raise DataError(f"{embedding.shape[0]} embeddings for {len(places)} places")
        check_unit(embedding, what=f"gallery {name!r}:")
        return cls(
            latlon_deg=places,
            embedding=embedding,
            model_fingerprint=model_fingerprint,
            places_fingerprint=places_fingerprint(places),
            duplicates_dropped=dropped,
            name=name,
            drawn_from=drawn_from,
        )

    def save(self, folder: Path | str) -> None:
        """Write the gallery: a safetensors file named by its content, then gallery.json.

        The card is written last and atomically, so that a reader finds the old gallery or the new.
        """
        from safetensors.torch import save_file

        folder = Path(folder)
        payload = folder / f"gallery-{self._content_name()}.safetensors"
        tensors = {
            "latlon_deg": torch.from_numpy(self.latlon_deg).contiguous(),
            "embedding": self.embedding.contiguous(),
        }
        write_atomically(payload, lambda temporary: save_file(tensors, temporary))
        card = {
            "schema_version": SCHEMA_VERSION,
            "name": self.name,
            "count": len(self),
            "embedding_dim": self.embedding.shape[1],
            "duplicates_dropped": self.duplicates_dropped,
            "drawn_from": self.drawn_from,
            "model_fingerprint": self.model_fingerprint,
            "places_fingerprint": self.places_fingerprint,
            "payload": payload.name,
            "payload_sha256": sha256_of(payload),
        }
        write_json(folder / _CARD, card)
        for old in folder.glob("gallery-*.safetensors"):
            if old != payload:
                old.unlink()

    @classmethod
    def load(cls, folder: Path | str, *, model_fingerprint: str | None = None) -> Gallery:
        """Read a gallery back, its bytes verified.

        Args:
            folder: where `save` put it.
            model_fingerprint: of the model that will query it; None takes it as it is.

        Raises:
            DataError: it is missing, torn or damaged, of an unknown schema version, or of a name
                that cannot be a folder's.
            MismatchError: another model encoded it.
        """
        from safetensors.torch import load_file

        folder = Path(folder)
        card = read_json(folder / _CARD, what="gallery")
        payload = folder / _checked_payload_name(card, folder)
        encoded_by = str(card["model_fingerprint"])
        if model_fingerprint is not None and encoded_by != model_fingerprint:
            raise MismatchError(
                f"the gallery at {folder} was encoded by model {encoded_by[:12]}, "
                f"not by {model_fingerprint[:12]}: build it again with this model"
            )
        check_sha256(payload, str(card["payload_sha256"]), what="gallery")
        tensors = load_file(payload)
        drawn_from = card.get("drawn_from")
        gallery = cls(
            latlon_deg=tensors["latlon_deg"].numpy(),
            embedding=tensors["embedding"],
            model_fingerprint=encoded_by,
            places_fingerprint=str(card["places_fingerprint"]),
            duplicates_dropped=int(card["duplicates_dropped"]),
            name=str(card["name"]),
            drawn_from=None if drawn_from is None else int(drawn_from),
        )
        if places_fingerprint(gallery.latlon_deg) != gallery.places_fingerprint:
            raise DataError(f"{folder / _CARD} does not describe {payload.name}; build it again")
        return gallery

    @classmethod
    def load_or_build(
        cls,
        folder: Path | str,
        latlon_deg: Float64[np.ndarray, "place 2"],
        encode: Callable[[Tensor], Tensor],
        *,
        model_fingerprint: str,
        name: str,
        batch_size: int = 4096,
        drawn_from: int | None = None,
    ) -> Gallery:
        """The gallery kept at `folder` if it is of this model and these places, else a new one.

        A gallery of another model or of other places is replaced; a damaged one is refused, since
        damage is news about the disk. The gallery given back is called `name`, whatever the card
        of the kept one says.

        Args:
            folder: where the gallery is kept.
            latlon_deg: its places.
            encode: as for `build`.
            model_fingerprint: of the model behind `encode`.
            name: what reports shall call it.
            batch_size: places encoded at a time.
            drawn_from: as for `build`.

        Raises:
            CoordinateError: a place is not finite or out of range.
            DataError: the kept gallery is damaged, or there are no places.
        """
        folder = Path(folder)
        wanted = places_fingerprint(_distinct(latlon_deg)[0])
        if (folder / _CARD).exists():
            card = read_json(folder / _CARD, what="gallery")
            known = (card.get("model_fingerprint"), card.get("places_fingerprint"))
            if known == (model_fingerprint, wanted):
                kept = cls.load(folder, model_fingerprint=model_fingerprint)
                return replace(kept, name=name, drawn_from=drawn_from or kept.drawn_from)
        gallery = cls.build(
            latlon_deg,
            encode,
            model_fingerprint=model_fingerprint,
            name=name,
            batch_size=batch_size,
            drawn_from=drawn_from,
        )
        gallery.save(folder)
        return gallery

    def _content_name(self) -> str:
        content = hashlib.sha256(self.places_fingerprint.encode())
        content.update(self.embedding.contiguous().numpy().tobytes())
        return content.hexdigest()[:16]


def _distinct(latlon_deg: np.ndarray) -> tuple[np.ndarray, int]:
    places = np.ascontiguousarray(latlon_deg, dtype=np.float64)
    if not len(places):
        raise DataError("a gallery needs at least one place")
    validate_latlon(places, what="gallery place")
    first, _ = distinct_places(places)
    return places[first], len(places) - len(first)


def _checked_payload_name(card: dict[str, Any], folder: Path) -> str:
    """The payload's file name, once the card is known to be whole."""
    if card.get("schema_version") != SCHEMA_VERSION:
        raise DataError(
            f"{folder / _CARD} has schema version {card.get('schema_version')}, "
            f"this geoloc reads {SCHEMA_VERSION}: build the gallery again"
        )
    needed = (
        "name",
        "duplicates_dropped",
        "model_fingerprint",
        "places_fingerprint",
        "payload",
        "payload_sha256",
    )
    if missing := [key for key in needed if key not in card]:
        raise DataError(f"{folder / _CARD} is damaged: it lacks {missing}; build it again")
    _check_name(str(card["name"]), where=str(folder / _CARD))
    return Path(str(card["payload"])).name


def _check_name(name: str, *, where: str) -> None:
    if not is_gallery_name(name):
        raise DataError(
            f"{where} is called {name!r}: a gallery's name has letters, digits, '.', '_' and '-' "
            "only, and no dot at its beginning"
        )
