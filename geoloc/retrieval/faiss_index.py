"""The indexes of faiss behind our Protocol; the only file that knows faiss."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from geoloc.errors import ConfigError, DataError
from geoloc.retrieval.index import ExactIndex, Ranking, best_first, check_search
from geoloc.retrieval.index_spec import IndexSpec
from geoloc.retrieval.vector_rows import HeldVectors, VectorRows, score_pairs

_ROWS_AT_A_TIME = 65_536
_QUERIES_AT_A_TIME = 1024
# Equals of the k-th best that faiss, which breaks ties as it likes, is given the room to return.
_MARGIN = 16
# faiss's own k-means takes no more of them (Johnson, Douze and Jégou 2017).
_TRAINING_ROWS_A_CELL = 64
_PQ_BITS = 8


def _faiss() -> Any:
    try:
        import faiss  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ConfigError(
            "faiss is not installed: `pip install 'geoloc[cpu]'` (or 'geoloc[gpu]'), "
            "or use the exact index, which needs nothing"
        ) from None
    return faiss


class FaissIndex:
    """Candidates by faiss (Johnson, Douze and Jégou 2017), their scores by us.

    Whatever faiss compares, the candidates it returns are scored again from the vectors themselves,
    as `ExactIndex` scores: an approximate index may miss a candidate, it never misjudges one. Where
    faiss finds fewer than k (cells that are empty, a graph with islands), the query is answered
    by exact search.

    Args:
        spec: which index, as `parse_index` reads it.
        embedding: unit vectors, one a candidate; or `VectorRows`, such as those of a mapped file.
        device: ``cuda`` searches on the GPU where the faiss installed has GPU indexes and this
            kind has one (graphs have none).

    Raises:
        ConfigError: faiss is not installed, or the parameters do not suit the vectors.
        DataError: a vector is not of length one.
        ValueError: there are no candidates.
    """

    def __init__(
        self,
        spec: IndexSpec,
        embedding: Float[Tensor, "candidate embedding"] | VectorRows,
        *,
        device: torch.device | str | None = None,
    ) -> None:
        index = _empty(_faiss(), spec, *_candidates_shape(embedding))
        self._hold(spec, embedding, _on_device(index, spec, device))
        for rows in _training_rows(spec, self._candidate, int(getattr(index, "nlist", 0))):
            self._index.train(rows)
        for start in range(0, len(self._candidate), _ROWS_AT_A_TIME):
            stop = min(start + _ROWS_AT_A_TIME, len(self._candidate))
            self._index.add(_numpy(self._candidate.rows(start, stop)))

    def _hold(self, spec: IndexSpec, embedding: Tensor | VectorRows, index: Any) -> None:
        held = isinstance(embedding, Tensor)
        self._candidate = HeldVectors(embedding.cpu()) if held else embedding
        self.spec, self._index = spec, index
        self._spare = spec.value.get("rescore", 0)
        if "nprobe" in spec.value:
            self._index.nprobe = min(spec.value["nprobe"], int(self._index.nlist))
        if "ef_search" in spec.value:
            self._index.hnsw.efSearch = spec.value["ef_search"]

    def __len__(self) -> int:
        return len(self._candidate)

    def search(self, query: Float[Tensor, "query embedding"], k: int) -> Ranking:
        """The min(k, n) best candidates that faiss finds, best first; ties by the lower index.

        Args:
            query: unit vectors on any device; the answer comes back on the same.
            k: how many to return for each.

        Raises:
            ValueError: k is below 1 or the widths differ.
            DataError: a query is not of length one.
        """
        check_search(query, k, embedding_dim=self._candidate.embedding_dim)
        k = min(k, len(self))
        parts = [
            self._search_block(block.cpu().float(), k)
            for block in query.detach().split(_QUERIES_AT_A_TIME)
        ]
        return Ranking(
            index=torch.cat([part.index for part in parts]).to(query.device),
            score=torch.cat([part.score for part in parts]).to(query.device),
        )

    def _search_block(self, query: Tensor, k: int) -> Ranking:
        size = min(len(self), max(k + _MARGIN, self._spare))
        _, found = self._index.search(_numpy(query), size)
        index = self._best_of(query, torch.from_numpy(found), min(size, k + _MARGIN))
        missing = index < 0
        row = torch.arange(len(query)).repeat_interleave(index.shape[1])
        score = score_pairs(self._candidate, query, row, index.clamp_min(0).flatten())
        score = score.view(index.shape).masked_fill(missing, -torch.inf)
        best = best_first(score, index, k)
        short = ((~missing).sum(dim=1) < k).nonzero().flatten()
        if len(short):
            exact = ExactIndex(self._candidate, first_pass="float32").search(query[short], k)
            best.index[short], best.score[short] = exact.index, exact.score
        return best

    def _best_of(self, query: Tensor, index: Tensor, size: int) -> Tensor:
        """The `size` best of each query's candidates by float32 scores; missing ones come last."""
        if index.shape[1] <= size:
            return index
        at_once = max(1, _ROWS_AT_A_TIME // index.shape[1])
        kept: list[Tensor] = []
        for some, own in zip(query.split(at_once), index.split(at_once), strict=True):
            vectors = self._candidate.pick(own.clamp_min(0).flatten())
            score = torch.bmm(vectors.view(*own.shape, -1), some.unsqueeze(2)).squeeze(2)
            best = score.masked_fill(own < 0, -torch.inf).topk(size, dim=1).indices
            kept.append(own.gather(1, best))
        return torch.cat([index[:0, :size], *kept])

    def write(self, path: Path) -> None:
        """Write faiss's own file, without the vectors' places or any check: see `index_files`."""
        faiss = _faiss()
        index = self._index
        if "Gpu" in type(index).__name__:
            index = faiss.index_gpu_to_cpu(index)
        faiss.write_index(index, str(path))

    @classmethod
    def read(
        cls,
        path: Path,
        spec: IndexSpec,
        embedding: Float[Tensor, "candidate embedding"] | VectorRows,
        *,
        mapped: bool = False,
        device: torch.device | str | None = None,
    ) -> FaissIndex:
        """An index from a file of `write` whose bytes are known to be whole.

        Args:
            path: the file.
            spec: what it holds; parameters of the search may be others than when it was built.
            embedding: the vectors it was built from.
            mapped: leave codes and lists in the file, to be read when they are searched.
            device: as for the class.

        Raises:
            ConfigError: faiss is not installed.
            DataError: the file is no index of these vectors.
        """
        faiss = _faiss()
        # Lists of an inverted file are mapped by one flag, plain codes and graphs by another.
        kind = faiss.IO_FLAG_MMAP if "nlist" in spec.value else faiss.IO_FLAG_MMAP_IFC
        flags = kind | faiss.IO_FLAG_READ_ONLY if mapped else 0
        try:
            index = faiss.read_index(str(path), flags)
        except RuntimeError as error:
            raise DataError(f"{path} is no faiss index: {str(error).splitlines()[-1]}") from None
        found = cls.__new__(cls)
        found._hold(spec, embedding, index if mapped else _on_device(index, spec, device))
        shape = (int(index.ntotal), int(index.d))
        if shape != (len(found), found._candidate.embedding_dim):
            raise DataError(f"{path} holds {shape[0]} vectors of width {shape[1]}, not these")
        return found


def _candidates_shape(embedding: Tensor | VectorRows) -> tuple[int, int]:
    if isinstance(embedding, Tensor):
        return embedding.shape[0], embedding.shape[1]
    return len(embedding), embedding.embedding_dim


def _empty(faiss: Any, spec: IndexSpec, count: int, dim: int) -> Any:
    """The index before anything is added."""
    if not count:
        raise ValueError("an index needs at least one candidate")
    make: dict[str, Callable[[], Any]] = {
        "faiss-flat": lambda: faiss.IndexFlatIP(dim),
        "faiss-ivf": lambda: _inverted_file(faiss, spec, count, dim),
        "faiss-hnsw": lambda: _graph(faiss, spec, dim),
        "faiss-pq": lambda: _product_quantiser(faiss, spec, count, dim),
    }
    return make[spec.kind]()


def _cells(faiss: Any, spec: IndexSpec, count: int, dim: int) -> tuple[Any, int]:
    """The coarse quantiser and how many cells: by default 4·sqrt(n), as faiss's guide has it."""
    asked = spec.value["nlist"]
    if asked > count:
        raise ConfigError(f"index {spec}: nlist is more than the {count} candidates")
    return faiss.IndexFlatIP(dim), asked or max(1, min(count, round(4 * count**0.5)))


def _inverted_file(faiss: Any, spec: IndexSpec, count: int, dim: int) -> Any:
    quantiser, nlist = _cells(faiss, spec, count, dim)
    bits = spec.value["bits"]
    if bits == 32:
        index = faiss.IndexIVFFlat(quantiser, dim, nlist, faiss.METRIC_INNER_PRODUCT)
    else:
        kind = faiss.ScalarQuantizer.QT_8bit if bits == 8 else faiss.ScalarQuantizer.QT_fp16
        index = faiss.IndexIVFScalarQuantizer(
            quantiser, dim, nlist, kind, faiss.METRIC_INNER_PRODUCT
        )
    # Few rows a cell are the caller's choice: no warning on the terminal.
    index.cp.min_points_per_centroid = 1
    return index


def _product_quantiser(faiss: Any, spec: IndexSpec, count: int, dim: int) -> Any:
    quantiser, nlist = _cells(faiss, spec, count, dim)
    parts = spec.value["bytes"]
    if dim % parts:
        raise ConfigError(f"index {spec}: bytes must divide the width of the vectors, {dim}")
    if count < 1 << _PQ_BITS:
        raise ConfigError(f"index {spec}: it takes {1 << _PQ_BITS} candidates or more, not {count}")
    index = faiss.IndexIVFPQ(quantiser, dim, nlist, parts, _PQ_BITS, faiss.METRIC_INNER_PRODUCT)
    index.cp.min_points_per_centroid = index.pq.cp.min_points_per_centroid = 1
    return index


def _graph(faiss: Any, spec: IndexSpec, dim: int) -> Any:
    index = faiss.IndexHNSWFlat(dim, spec.value["links"], faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = spec.value["ef_build"]
    return index


def _on_device(index: Any, spec: IndexSpec, device: torch.device | str | None) -> Any:
    where = torch.device(device or "cpu")
    faiss = _faiss()
    if where.type != "cuda" or spec.kind == "faiss-hnsw":
        return index
    if not hasattr(faiss, "StandardGpuResources"):
        return index
    return faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), where.index or 0, index)


def _training_rows(spec: IndexSpec, candidate: VectorRows, nlist: int) -> Iterable[np.ndarray]:
    """Rows spread evenly over all, once, for kinds that are trained."""
    if not nlist:
        return
    wanted = max(nlist * _TRAINING_ROWS_A_CELL, 1 << (_PQ_BITS + 6))
    step = max(1, len(candidate) // wanted)
    yield _numpy(candidate.pick(torch.arange(0, len(candidate), step)))


def _numpy(vectors: Tensor) -> np.ndarray:
    return np.ascontiguousarray(vectors.numpy())
