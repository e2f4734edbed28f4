"""Built indexes kept on disk: whole, and of the very vectors that they are asked about."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from geoloc.artifacts import check_sha256, read_json, sha256_of, write_atomically, write_json
from geoloc.errors import DataError, MismatchError
from geoloc.retrieval.faiss_index import FaissIndex
from geoloc.retrieval.index import ExactIndex, NearestIndex
from geoloc.retrieval.index_spec import IndexSpec, parse_index
from geoloc.retrieval.vector_rows import HeldVectors, VectorRows

SCHEMA_VERSION = 1
_CARD = "index.json"
_PAYLOAD = "index.faiss"
_ROWS_AT_A_TIME = 65_536


def embeddings_fingerprint(candidate: VectorRows) -> str:
    """SHA-256 of vectors in their order, as little-endian float32, after their shape."""
    content = hashlib.sha256(f"{len(candidate)} x {candidate.embedding_dim}".encode())
    for start in range(0, len(candidate), _ROWS_AT_A_TIME):
        rows = candidate.rows(start, min(start + _ROWS_AT_A_TIME, len(candidate)))
        content.update(np.ascontiguousarray(rows.cpu().numpy(), dtype="<f4").data)
    return content.hexdigest()


def save_index(index: FaissIndex, folder: Path | str, *, fingerprint: str) -> None:
    """Write index.faiss, then index.json with its SHA-256: a reader finds both or neither.

    Args:
        index: a built index.
        folder: made when absent.
        fingerprint: of the vectors (`embeddings_fingerprint`).
    """
    folder = Path(folder)
    (folder / _CARD).unlink(missing_ok=True)
    write_atomically(folder / _PAYLOAD, index.write)
    card = {
        "schema_version": SCHEMA_VERSION,
        "built": index.spec.built,
        "count": len(index),
        "embeddings_fingerprint": fingerprint,
        "sha256": sha256_of(folder / _PAYLOAD),
    }
    write_json(folder / _CARD, card)


def load_index(
    folder: Path | str,
    word: str,
    embedding: Float[Tensor, "candidate embedding"] | VectorRows,
    *,
    mapped: bool = False,
    device: torch.device | str | None = None,
) -> FaissIndex:
    """Read an index back, its bytes and its vectors verified.

    Args:
        folder: where `save_index` put it.
        word: what is wanted (see `parse_index`); parameters of the search may be others than when
            it was built.
        embedding: the vectors it shall answer about.
        mapped: leave the index in its file, to be read when it is searched.
        device: as for `FaissIndex`.

    Raises:
        ConfigError: faiss is not installed.
        DataError: the index is missing, torn or damaged, or of an unknown schema version.
        MismatchError: it was built otherwise, or from other vectors.
    """
    folder, spec = Path(folder), parse_index(word)
    candidate = HeldVectors(embedding) if isinstance(embedding, Tensor) else embedding
    card = read_json(folder / _CARD, what="index")
    if card.get("schema_version") != SCHEMA_VERSION:
        raise DataError(f"{folder / _CARD} is not of schema version {SCHEMA_VERSION}: build again")
    _check_match(card, spec, embeddings_fingerprint(candidate), folder)
    check_sha256(folder / _PAYLOAD, str(card.get("sha256")), what="index")
    return FaissIndex.read(folder / _PAYLOAD, spec, candidate, mapped=mapped, device=device)


def _check_match(card: dict[str, object], spec: IndexSpec, fingerprint: str, folder: Path) -> None:
    if card.get("built") != spec.built:
        raise MismatchError(
            f"the index at {folder} was built as {card.get('built')}, not as {spec.built}"
        )
    if card.get("embeddings_fingerprint") != fingerprint:
        raise MismatchError(
            f"the index at {folder} was built from other embeddings: delete it and build it again"
        )


def load_or_build_index(
    folder: Path | str,
    word: str,
    embedding: Float[Tensor, "candidate embedding"] | VectorRows,
    *,
    mapped: bool = False,
    device: torch.device | str | None = None,
) -> NearestIndex:
    """The index kept under `folder` if it is of this kind and these vectors, else a new one.

    Each kind has a folder of its own there. An index of other vectors is replaced; a damaged one is
    refused, since damage is news about the disk. Kinds that have nothing to build are not kept.

    Args:
        folder: of the indexes, such as the gallery's own.
        word: as `parse_index` reads it.
        embedding: unit vectors, or `VectorRows`.
        mapped: as for `load_index`.
        device: as for `load_index`.

    Raises:
        ConfigError: there is no such index, or faiss is not installed.
        DataError: the kept index is damaged.
    """
    spec = parse_index(word)
    if spec.kind == "exact":
        return ExactIndex(embedding, device=device)
    if spec.kind == "faiss-flat":
        return FaissIndex(spec, embedding, device=device)
    candidate = HeldVectors(embedding) if isinstance(embedding, Tensor) else embedding
    own = Path(folder) / "indexes" / spec.built.replace(":", "-").replace(",", "-")
    if (own / _CARD).exists():
        try:
            return load_index(own, word, candidate, mapped=mapped, device=device)
        except MismatchError:
            # Of a gallery that was here before.
            pass
    index = FaissIndex(spec, candidate, device=device)
    save_index(index, own, fingerprint=embeddings_fingerprint(candidate))
    return load_index(own, word, candidate, mapped=True, device=device) if mapped else index
