"""What one question costs beside the image tower that it cannot do without.

All towers are CLIP ViT-L/14 with random weights, drawn once and kept as files in FOLDER; the
gallery is the released GeoCLIP's, 100,000 places, encoded once.

``warm``: `Geolocator.locate` and `GeoCLIP.predict` on photographs against the bare tower on the
same pixels, prepared beforehand, in turn in one process (Ctrl-C ends it with what it has).
``released``: the released package's `GeoCLIP.predict` against both, in turn in one process, same
tower, same places found; FOREIGN is where its transformers is installed (``pip install --target
FOREIGN transformers``). ``cold``: the command ``geoloc query`` from the start of the process to
its end, its CPU time and its memory, and what was built on the way; TREE (another checkout) is
asked in turn with this one.

Run: python benchmarks/query_latency.py warm FOLDER [QUERIES]
     python benchmarks/query_latency.py released FOLDER FOREIGN [QUERIES]
     python benchmarks/query_latency.py cold FOLDER [TREE]
"""

import gc
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from geoloc import GeoCLIP, Geolocator
from geoloc.inference.released import geoclip_gallery, geoclip_model
from geoloc.models import ImageEncoderSpec, ModelSpec, save_model
from geoloc.models.open_clip_encoder import DEFAULT_NAME, create_clip
from geoloc.models.torchvision_compat import declare_missing_operators

PHOTOGRAPHS = 10
SIZE = (1600, 1200)
ROOT = Path(__file__).resolve().parents[1]


def photographs(folder: Path) -> list[Path]:
    """JPEGs of two megapixels with structure at every scale."""
    files = [folder / f"{number}.jpg" for number in range(PHOTOGRAPHS)]
    for number, file in enumerate(files):
        if not file.is_file():
            rng = np.random.default_rng(number)
            picture = np.zeros((SIZE[1], SIZE[0], 3))
            for cells in (4, 16, 64, 256):
                coarse = rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
                picture += np.asarray(
                    Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC)
                )
            Image.fromarray((picture / 4).astype(np.uint8)).save(file, quality=92)
    return files


def clip_weights(folder: Path) -> Path:
    """A whole CLIP ViT-L/14 in open_clip's names."""
    file = folder / "clip.safetensors"
    if not file.is_file():
        torch.manual_seed(0)
        state = create_clip(DEFAULT_NAME, None, None).state_dict()
        save_file({name: value.contiguous() for name, value in state.items()}, file)
    return file


def geolocator(folder: Path) -> Geolocator:
    return Geolocator.from_geoclip(clip_weights(folder), cache_folder=folder / "cache")


def timed(action):
    start, cpu = time.perf_counter(), time.process_time()
    result = action()
    return result, time.perf_counter() - start, time.process_time() - cpu


def warm(folder: Path, queries: int = 100) -> None:
    files = photographs(folder)
    honest = geolocator(folder)
    dropin = GeoCLIP(clip_path=clip_weights(folder), cache_folder=folder / "cache").eval()
    tower = honest.model.image_encoder
    pixels = [honest.stages.prepare_all([file])[0].pixels[None] for file in files]

    @torch.inference_mode()
    def bare(number: int) -> torch.Tensor:
        return tower(pixels[number])

    asked = {
        "tower": bare,
        "locate": lambda number: honest.locate(files[number]),
        "predict": lambda number: dropin.predict(files[number], 5),
    }
    for action in asked.values():
        action(0)
        action(1)
    spent = {name: [] for name in asked}
    try:
        for query in range(queries):
            # Each is first, second and last equally often.
            names = [*asked][query % 3 :] + [*asked][: query % 3]
            costs = {name: timed(partial(asked[name], query % len(files)))[1:] for name in names}
            for name, cost in costs.items():
                spent[name].append(cost)
    except KeyboardInterrupt:
        print("interrupted")
    table = {name: np.array(rows) for name, rows in spent.items()}
    print(f"{len(table['tower'])} queries, {torch.get_num_threads()} threads; milliseconds")
    print("| | wall p50 | p95 | p95 / p50 | CPU p50 | wall p50 / tower | CPU p50 / tower |")
    print("|---|---|---|---|---|---|---|")
    base = np.median(table["tower"], axis=0)
    for name, rows in table.items():
        wall, cpu = np.median(rows, axis=0)
        late = np.quantile(rows[:, 0], 0.95)
        ratios = f"{wall / base[0]:.3f} | {cpu / base[1]:.3f}"
        cells = f"{1e3 * wall:.0f} | {1e3 * late:.0f} | {late / wall:.2f} | {1e3 * cpu:.0f}"
        print(f"| {name} | {cells} | {ratios} |")
    beside = {
        name: np.median(rows - table["tower"], axis=0)
        for name, rows in table.items()
        if name != "tower"
    }
    for name, (wall, cpu) in beside.items():
        print(f"{name} beside the tower, median of pairs: {1e3 * wall:.0f} ms, CPU {1e3 * cpu:.0f}")


def released(folder: Path, foreign: str, queries: int = 3) -> None:
    declare_missing_operators()
    sys.path.insert(0, foreign)
    import geoclip

    files, weights = photographs(folder), folder / "transformers_clip"
    if not weights.is_dir():
        encoder = geoclip.ImageEncoder(from_pretrained=False)
        encoder.CLIP.save_pretrained(weights)
        encoder.image_processor.save_pretrained(weights)
    theirs = geoclip.GeoCLIP(clip_path=str(weights)).eval()
    ours = GeoCLIP(clip_path=weights, cache_folder=folder / "cache").eval()
    honest = geolocator(folder)
    asked = {
        "released predict": lambda file: theirs.predict(str(file), 5),
        "geoloc.GeoCLIP predict": lambda file: ours.predict(file, 5),
        "Geolocator.locate": lambda file: honest.locate(file),
    }
    for action in [*asked.values()][1:]:
        action(files[0])
    spent = {name: [] for name in asked}
    for file in files[:queries]:
        told = {}
        for name, action in asked.items():
            told[name], *cost = timed(lambda do=action, at=file: do(at))
            spent[name].append(cost)
        places, share = told["released predict"]
        our_places, our_share = told["geoloc.GeoCLIP predict"]
        # Their processor is off by a level of some pixels, so near equals may change places.
        assert {*map(tuple, places.tolist())} & {*map(tuple, our_places.tolist())}
        assert (share - our_share).abs().max() < 1e-2 * share.max()
    base = np.median(spent["released predict"], axis=0)
    print(f"{queries} queries, {torch.get_num_threads()} threads; seconds, medians")
    print("| | wall | CPU | times faster (wall) | (CPU) |\n|---|---|---|---|---|")
    for name, rows in spent.items():
        wall, cpu = np.median(rows, axis=0)
        print(f"| {name} | {wall:.2f} | {cpu:.2f} | {base[0] / wall:.1f} | {base[1] / cpu:.1f} |")


def cold(folder: Path, *trees: str) -> None:
    run, photograph = a_run(folder), photographs(folder)[0]
    weights_mb = tower_megabytes(folder)
    command = [sys.executable, "-m", "geoloc", "query", str(photograph), "--run", str(run)]
    told = {tree: [] for tree in (*trees, str(ROOT))}
    for _ in range(3):
        for tree, rows in told.items():
            rows.append(child(command, tree))
    print(f"image tower {weights_mb:.0f} MB; medians of {len(rows) - 1} after one unmeasured")
    print("| | wall s | CPU s | peak MB |\n|---|---|---|---|")
    for number, rows in enumerate(told.values()):
        wall, cpu, peak = np.median(rows[1:], axis=0)
        name = "this checkout" if number == len(trees) else "the other"
        print(f"| {name} | {wall:.1f} | {cpu:.1f} | {peak:.0f} |")
    witness(run, photograph, weights_mb)


def child(command: list[str], tree: str) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak megabytes of a command."""
    environment = {**os.environ, "PYTHONPATH": tree}
    start = time.perf_counter()
    with subprocess.Popen(
        command, cwd=tree, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    wall = time.perf_counter() - start
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def a_run(folder: Path) -> Path:
    """A finished run of GeoCLIP's architecture, its gallery the released one's."""
    run = folder / "run"
    if not (run / "run.json").is_file():
        weights = clip_weights(folder)
        model = geoclip_model(weights)
        spec = ModelSpec(image_encoder=ImageEncoderSpec(weights=str(weights.resolve())))
        save_model(run / "model", model, spec)
        places = geoclip_gallery(model, cache_folder=folder / "cache")
        replace(places, name="released").save(run / "galleries" / "released")
        about = {"schema_version": 1, "started": "2026-01-01T00:00:00+00:00", "finished": True}
        (run / "run.json").write_text(json.dumps(about))
    return run


def tower_megabytes(folder: Path) -> float:
    from safetensors import safe_open

    with safe_open(clip_weights(folder), "pt") as file:
        names = [name for name in file.keys() if name.startswith("visual.")]  # noqa: SIM118
        sizes = [4 * int(np.prod(file.get_slice(name).get_shape())) for name in names]
    return sum(sizes) / 2**20


def witness(run: Path, photograph: Path, weights_mb: float) -> None:
    """Ask in a process where no place may be encoded, and count what has weights afterwards."""
    code = f"""
import gc, torch
from geoloc import Geolocator
from geoloc.models import DualEncoder
asked = Geolocator.load({str(run)!r}, decoding="argmax")
def never(*_): raise AssertionError("places were encoded")
DualEncoder.embed_places = never
asked.locate({str(photograph)!r})
held = [each for each in gc.get_objects() if isinstance(each, torch.nn.Parameter)]
import open_clip
texts = sum(isinstance(each, torch.nn.Embedding) for each in gc.get_objects())
real = sum(each.numel() * each.element_size() for each in held if not each.is_meta) / 2**20
print(f"parameters with memory {{real:.0f}} MB, token embeddings {{texts}}")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    print(f"one question, no place encoded: {done.stdout.strip()} (tower {weights_mb:.0f} MB)")


def main() -> None:
    mode, folder, *rest = sys.argv[1:]
    Path(folder).mkdir(parents=True, exist_ok=True)
    words = [int(word) if word.isdigit() else word for word in rest]
    {"warm": warm, "released": released, "cold": cold}[mode](Path(folder).resolve(), *words)
    gc.collect()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak of this process {peak:.0f} MB")


if __name__ == "__main__":
    main()
