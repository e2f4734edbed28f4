"""From a stream of batches to all its embeddings, in memory and on disk."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
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
from geoloc.batch import GeoBatch
from geoloc.errors import DataError

SCHEMA_VERSION = 1
_CARD = "embedded.json"
_VECTORS = "embedding.safetensors"
_SAMPLES = "samples.parquet"
_NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Embedded:
    """The samples of a split with their embeddings, in the order of the stream.

    Attributes:
        key: one name a sample.
        latlon_deg: their true places.
        embedding: on the CPU.
        label: what the data set says of each; empty mappings where it says nothing.
    """

    key: tuple[str, ...]
    latlon_deg: Float64[np.ndarray, "sample 2"]
    embedding: Float32[Tensor, "sample embedding"]
    label: tuple[Mapping[str, Any], ...]

    def __post_init__(self) -> None:
        if not len(self.key) == len(self.latlon_deg) == len(self.embedding) == len(self.label):
            raise ValueError(
                f"{len(self.key)} keys, {len(self.latlon_deg)} places, "
                f"{len(self.embedding)} embeddings and {len(self.label)} labels"
            )

    def __len__(self) -> int:
        return len(self.key)

    def save(self, folder: Path | str, *, model_fingerprint: str) -> None:
        """Write embedding.safetensors, samples.parquet and, last, embedded.json.

        Args:
            folder: made when absent.
            model_fingerprint: of the model that made the embeddings.
        """
        import pandas as pd
        from safetensors.torch import save_file

        folder = Path(folder)
        frame = pd.DataFrame(
            {
                "key": list(self.key),
                "true_lat_deg": self.latlon_deg[:, 0],
                "true_lon_deg": self.latlon_deg[:, 1],
                "label": [json.dumps(dict(label), ensure_ascii=False) for label in self.label],
            }
        )
        vectors = {"embedding": self.embedding.contiguous()}
        write_atomically(folder / _VECTORS, lambda temporary: save_file(vectors, temporary))
        write_atomically(folder / _SAMPLES, lambda path: frame.to_parquet(path, index=False))
        files = {name: sha256_of(folder / name) for name in (_VECTORS, _SAMPLES)}
        card = {
            "schema_version": SCHEMA_VERSION,
            "count": len(self),
            "embedding_dim": self.embedding.shape[1],
            "model_fingerprint": model_fingerprint,
            "sha256": files,
        }
        write_json(folder / _CARD, card)

    @classmethod
    def load(cls, folder: Path | str) -> Embedded:
        """Read embeddings back, their bytes verified.

        Raises:
            DataError: they are missing, torn or damaged, or of an unknown schema version.
        """
        import pandas as pd
        from safetensors.torch import load_file

        folder = Path(folder)
        card = _read_card(folder)
        for name in (_VECTORS, _SAMPLES):
            check_sha256(folder / name, str(card["sha256"].get(name)), what="set of embeddings")
        frame = pd.read_parquet(folder / _SAMPLES)
        return cls(
            key=tuple(str(key) for key in frame["key"]),
            latlon_deg=frame[["true_lat_deg", "true_lon_deg"]].to_numpy(np.float64),
            embedding=load_file(folder / _VECTORS)["embedding"],
            label=tuple(json.loads(label) for label in frame["label"]),
        )

    @staticmethod
    def fingerprint_of(folder: Path | str) -> str:
        """The fingerprint of the model that made the embeddings kept at `folder`.

        Raises:
            DataError: there are none, or of an unknown schema version.
        """
        return str(_read_card(Path(folder)).get("model_fingerprint"))


def _read_card(folder: Path) -> dict[str, Any]:
    card = read_json(folder / _CARD, what="set of embeddings")
    if card.get("schema_version") != SCHEMA_VERSION or not isinstance(card.get("sha256"), dict):
        raise DataError(f"{folder / _CARD} is not of schema version {SCHEMA_VERSION}")
    return card


@torch.no_grad()
def embed_stream(
    batches: Iterable[GeoBatch],
    encode: Callable[[GeoBatch], Tensor],
    *,
    labels: Collection[str] | None = None,
) -> Embedded:
    """Encode every batch of a stream, without gradients; nothing is dropped or padded.

    Args:
        batches: the stream, once through.
        encode: from a batch to one vector a sample, such as `DualEncoder.embed_batch`.
        labels: names of those to keep, where a sample has them; None keeps all, which for millions
            of samples is a matter of gigabytes.

    Raises:
        DataError: the stream is empty, or `encode` gives another number of vectors than samples.
    """
    key: list[str] = []
    label: list[Mapping[str, Any]] = []
    places: list[Tensor] = []
    vectors: list[Tensor] = []
    for batch in batches:
        vector = encode(batch).detach().float().cpu()
        if len(vector) != len(batch):
            raise DataError(f"{len(vector)} embeddings for a batch of {len(batch)} samples")
        key.extend(batch.key)
        label.extend(_chosen(given, labels) for given in batch.label or (_NOTHING,) * len(batch))
        places.append(batch.latlon_deg.double().cpu())
        vectors.append(vector)
    if not key:
        raise DataError("nothing to embed: the stream gave no sample")
    return Embedded(
        key=tuple(key),
        latlon_deg=torch.cat(places).numpy(),
        embedding=torch.cat(vectors),
        label=tuple(label),
    )


def _chosen(label: Mapping[str, Any], names: Collection[str] | None) -> Mapping[str, Any]:
    if names is None:
        return label
    # One empty mapping for all samples without any, one string for all of one country or city.
    return {name: _shared(label[name]) for name in names if name in label} or _NOTHING


def _shared(value: Any) -> Any:
    return sys.intern(value) if type(value) is str else value
