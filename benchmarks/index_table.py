"""Indexes side by side: queries per CPU-second, agreement with exact search in km, build, memory.

COUNT vectors of width 512: GeoCLIP's own 100,000 places and, up to half a million, places 0.05 to
50 km from them, encoded by GeoCLIP's released location encoder and kept in float16; beyond, blends
of a place's vector with that of a place near it (encoding five million would cost 16 CPU-minutes).
Queries are made like images: 60 % the vector of a place not among the candidates, 40 % the mean of
three others, plus noise as long as the two together.

Up to two million, vectors are held in memory as float32; beyond, all indexes read them, and their
own lists, from mapped files. Indexes take turns in one process; exact search under its first passes
must agree bit for bit before anything is timed.

faiss-cpu's own OpenBLAS may not know the processor and fall back to slow kernels: name it by
OPENBLAS_CORETYPE, e.g. SkylakeX for any with AVX-512. What was taken is printed.

Run: OMP_NUM_THREADS=1 OPENBLAS_CORETYPE=SkylakeX python benchmarks/index_table.py [COUNT]
     [--cache FOLDER] [--threads N] [--queries N] [--rounds N] [--kinds WORD ...]
"""

import argparse
import functools
import os
import statistics
import tempfile
import threading
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import faiss
import numpy as np
import torch

from geoloc.geodesy import EARTH_RADIUS_KM, great_circle_km
from geoloc.models.geoclip import gallery_places, load_location_encoder, released_folder
from geoloc.retrieval import ExactIndex, FaissIndex, MappedVectors, parse_index
from geoloc.retrieval.index_files import embeddings_fingerprint, load_index, save_index

CHUNK, DIM, ENCODED = 100_000, 512, 5
HELD = 2_000_000
KINDS = {
    100_000: (
        "faiss-flat",
        "faiss-ivf:nlist=1024",
        "faiss-ivf:nlist=1024,bits=8",
        "faiss-hnsw",
        "faiss-pq:nlist=1024",
    ),
    1_000_000: (
        "faiss-flat",
        "faiss-ivf:nlist=1024",
        "faiss-ivf:nlist=1024,bits=8",
        "faiss-pq:nlist=1024",
    ),
    5_000_000: ("faiss-ivf:nlist=1024,bits=8", "faiss-pq:nlist=1024"),
}


def moved(places: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Each place 0.05 to 50 km away, log-uniform, in any direction."""
    metres = np.exp(generator.uniform(np.log(50), np.log(50_000), len(places)))
    angle = generator.uniform(0, 2 * np.pi, len(places))
    step_deg = np.degrees(metres / 1000 / EARTH_RADIUS_KM)
    lat = np.clip(places[:, 0] + step_deg * np.cos(angle), -89.9, 89.9)
    lon = places[:, 1] + step_deg * np.sin(angle) / np.cos(np.radians(lat))
    return np.stack([lat, (lon + 180) % 360 - 180], 1)


@functools.cache
def encoder() -> torch.nn.Module:
    return load_location_encoder(
        released_folder() / "weights" / "location_encoder_weights.pth"
    ).eval()


@torch.inference_mode()
def encoded(places: np.ndarray) -> torch.Tensor:
    parts = [encoder()(part).float() for part in torch.from_numpy(places).split(4096)]
    return torch.nn.functional.normalize(torch.cat(parts), dim=1)


def chunk(number: int, vectors: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, torch.Tensor]:
    """Places and vectors of one chunk; the first chunk is GeoCLIP's gallery itself."""
    base = gallery_places()
    if number == 0:
        return base, encoded(base)
    if number < ENCODED:
        generator = np.random.default_rng([7, number])
        here = moved(base[generator.integers(0, len(base), CHUNK)], generator)
        return here, encoded(here)
    source = 1 + (number - ENCODED) % (ENCODED - 1)
    own = np.random.default_rng([7, source]).integers(0, len(base), CHUNK)
    share = np.random.default_rng([7, number]).uniform(0.1, 0.9, (CHUNK, 1))
    rows = slice(source * CHUNK, (source + 1) * CHUNK)
    blend = (1 - share) * vectors[own].astype(np.float32) + share * vectors[rows]
    step = places[rows] - places[own]
    step[:, 1] = (step[:, 1] + 180) % 360 - 180
    there = places[own] + share * step
    there[:, 1] = (there[:, 1] + 180) % 360 - 180
    return there, torch.nn.functional.normalize(torch.from_numpy(blend).float(), dim=1)


def prepared(count: int, folder: Path) -> tuple[Path, np.ndarray]:
    """The file of COUNT vectors, made where it is not there yet, and their places."""
    files = folder / f"vectors-{count}.npy", folder / f"places-{count}.npy"
    if not all(file.is_file() for file in files):
        make = np.lib.format.open_memmap
        vectors = make(folder / "vectors.part", "w+", np.float16, (count, DIM))
        places = make(folder / "places.part", "w+", np.float64, (count, 2))
        for number in range(count // CHUNK):
            rows = slice(number * CHUNK, (number + 1) * CHUNK)
            places[rows], vector = chunk(number, vectors, places)
            vectors[rows] = vector.numpy()
        vectors.flush(), places.flush()
        (folder / "places.part").rename(files[1])
        (folder / "vectors.part").rename(files[0])
    return files[0], np.load(files[1])


def image_like(count: int) -> torch.Tensor:
    generator = np.random.default_rng(99)
    base = gallery_places()
    own = encoded(moved(base[generator.integers(0, len(base), count)], generator))
    other = encoded(base[generator.integers(0, len(base), 3 * count)]).view(count, 3, -1).mean(1)
    meant = torch.nn.functional.normalize(0.6 * own + 0.4 * other, dim=1)
    noise = torch.from_numpy(generator.normal(size=(count, DIM)) / DIM**0.5).float()
    return torch.nn.functional.normalize(meant + noise, dim=1)


def resident_mb() -> tuple[float, float]:
    """Memory of our own, and pages of mapped files, as they are now."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return tuple(int(lines[key].split()[0]) / 1024 for key in ("RssAnon", "RssFile"))


class Peak(threading.Thread):
    """The most memory, own and of mapped files, seen every 20 ms while a block runs."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.own = self.file = 0.0
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.02):
            own, file = resident_mb()
            self.own, self.file = max(self.own, own), max(self.file, file)

    def __enter__(self) -> "Peak":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()


def built(word: str, candidate: object, folder: Path, mapped: bool) -> tuple[object, float, float]:
    """An index, the CPU-seconds of its building, and its bytes a vector beside the vectors."""
    count = len(candidate)
    start = time.process_time()
    if word.startswith("exact"):
        precision = word.partition(" ")[2]
        index = ExactIndex(candidate, first_pass=precision)
        index.search(candidate[:1] if not mapped else candidate.rows(0, 1), 1)
        return index, time.process_time() - start, DIM * (precision == "int8")
    index = FaissIndex(parse_index(word), candidate)
    seconds = time.process_time() - start
    if word == "faiss-flat":
        return index, seconds, 4.0 * DIM
    if not mapped:
        index.write(folder / "size.faiss")
        size = (folder / "size.faiss").stat().st_size
        (folder / "size.faiss").unlink()
        return index, seconds, size / count
    own = folder / word.replace(":", "-")
    save_index(index, own, fingerprint=embeddings_fingerprint(candidate))
    del index
    size = (own / "index.faiss").stat().st_size
    return load_index(own, word, candidate, mapped=True), seconds, size / count


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("count", nargs="?", type=int, default=100_000)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--queries", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kinds", nargs="*")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    faiss.omp_set_num_threads(asked.threads)
    print(product_rates())
    with tempfile.TemporaryDirectory() as scratch:
        table(asked, asked.cache or Path(scratch), Path(scratch))


def product_rates() -> str:
    """What the processor multiplies, 1,024 queries by a tile of 2,048."""
    query, tile = torch.randn(1024, DIM), torch.randn(2048, DIM)
    cast = {
        "float32": (query, tile.T),
        "bfloat16": (query.bfloat16(), tile.bfloat16().T),
        "int8": ((30 * query).to(torch.int8), (30 * tile).to(torch.int8).T),
    }
    words = []
    for name, (left, right) in cast.items():
        multiply = torch._int_mm if name == "int8" else torch.mm
        multiply(left, right)
        start = time.process_time()
        for _ in range(10):
            multiply(left, right)
        rate = 10 * 2 * 1024 * 2048 * DIM / (time.process_time() - start) / 1e9
        words.append(f"{name} {rate:.0f}")
    return f"products, in 10^9 operations a CPU-second: {', '.join(words)}"


def searched(
    words: list[str], made: dict, query: torch.Tensor, rounds: int
) -> tuple[dict, dict, dict]:
    """CPU-seconds of each round, the answers and the memory of each index, which take turns."""
    spent, answers, peak = {word: [] for word in words}, {}, {}
    for _ in range(rounds):
        for word in words:
            with Peak() as peak[word]:
                start = time.process_time()
                answers[word] = made[word][0].search(query, 5)
                spent[word].append(time.process_time() - start)
    return spent, answers, peak


def table(asked: argparse.Namespace, cache: Path, scratch: Path) -> None:
    path, places = prepared(asked.count, cache)
    query = image_like(asked.queries)
    encoder.cache_clear()
    mapped = asked.count > HELD
    before = resident_mb()
    if mapped:
        candidate = MappedVectors(path)
    else:
        rows = torch.from_numpy(np.load(path).astype(np.float32))
        candidate = torch.nn.functional.normalize(rows, dim=1)
        del rows
    # Codes are held in memory, which mapped vectors are there to save: name "exact int8" for them.
    words = ["exact float32", *([] if mapped else ["exact int8"])]
    words += KINDS[asked.count] if asked.kinds is None else asked.kinds
    made = {}
    for word in words:
        made[word] = built(word, candidate, scratch, mapped)
        print(f"built {word}: {made[word][1]:.1f} CPU-s", flush=True)
    exact = made["exact float32"][0].search(query, 5)
    if "exact int8" in made:
        other = made["exact int8"][0].search(query, 5)
        assert torch.equal(exact.index, other.index)
        assert torch.equal(exact.score, other.score)
    spent, answers, peak = searched(words, made, query, asked.rounds)
    print(f"{asked.count:,} vectors, {asked.queries} queries, k = 5, {asked.threads} thread(s)")
    print(f"OPENBLAS_CORETYPE: {os.environ.get('OPENBLAS_CORETYPE', 'left to OpenBLAS')}")
    print("index | queries/CPU-s | times faiss-flat | top-1 within 1 km | build CPU-s | bytes")
    flat = spent.get("faiss-flat", [float("nan")] * asked.rounds)
    for word in words:
        ratio = statistics.median(f / own for f, own in zip(flat, spent[word], strict=True))
        first = [places[ranking.index[:, 0].numpy()] for ranking in (exact, answers[word])]
        near = 100 * float(np.mean(great_circle_km(*first) <= 1.0))
        rate, (_, seconds, size) = asked.queries / statistics.median(spent[word]), made[word]
        print(f"{word} | {rate:,.0f} | {ratio:.1f} | {near:.1f} % | {seconds:,.1f} | {size:,.0f}")
    print(f"resident before: {before[0]:,.0f} MB of our own, {before[1]:,.0f} MB of files")
    for word in words:
        print(f"{word}: at most {peak[word].own:,.0f} MB, {peak[word].file:,.0f} MB of files")


if __name__ == "__main__":
    main()
