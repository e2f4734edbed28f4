"""Runs killed at random and resumed against runs left alone; kills while saving; a full disk.

`runs`: small runs (a stream with 0 and 2 loader workers, augmentation and queue; a semivariogram
refitted from the bank of a stream; one refitted to cached features) are killed with SIGKILL, loader
workers and all, at random moments and inside saves, and resumed until they end. All weights,
moments and random states of the last checkpoint and every line (step, loss and the rest, sample
ids) must be those of a run left alone; so must every line that a kill left behind, so that a step
done twice was the same both times.

`saves`: a process that does nothing but save and prune is killed at random; the newest checkpoint
must load, be one that was saved, and not be older than the last save that had returned.

`disk`: a small tmpfs (which only root may mount) is filled to so many bytes: the old checkpoint
must load, the error be one line, and the run end as if left alone when there is space again.

Ends with code 1 where anything differs.
Run: OMP_NUM_THREADS=1 python benchmarks/kill_resume.py [runs] [saves] [disk] [--kills N] [--seed N]
"""

import argparse
import contextlib
import hashlib
import io
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.utils.tensorboard
import yaml
from PIL import Image
from safetensors.torch import load_file

import geoloc.experiment.train_run  # noqa: F401 - once for all forks
from geoloc.cli import main as command_line
from geoloc.data.record import Record
from geoloc.data.shards import ShardWriter
from geoloc.errors import CheckpointError
from geoloc.geodesy import sample_sphere, unit_vectors
from geoloc.training import Checkpoint, find_latest, load_checkpoint, save_checkpoint
from geoloc.training.checkpoint import prune

ROOT = Path(__file__).parents[1]
FITTED = (
    *("negatives.rule=semivariogram", "negatives.hard_share=0.25", "negatives.report=false"),
    *("negatives.fit_samples=200", "negatives.fit_pairs=20000", "negatives.reservoir_batches=4"),
)
VARIED = ("data.augmentation={min_crop_scale: 0.5, flip_probability: 0.5}",)
CACHED = ("data.cache_features=true", "model.frozen_backbone=true", "training.epochs=10")
KINDS = {
    "stream, 0 workers": ("data.workers=0", *VARIED),
    "stream, 2 workers": ("data.workers=2", *VARIED),
    "bank, 0 workers": ("data.workers=0", *VARIED, *FITTED),
    "bank, 2 workers": ("data.workers=2", *VARIED, *FITTED),
    "cached, refits": ("data.workers=0", *CACHED, *FITTED),
}
LEFT_BY_A_SAVE = (".step-*", "step-*.replaced", "last/.*.writing")
faults: list[str] = []


def fault(text: str) -> None:
    faults.append(text)
    print(f"  DIFFERS: {text}", flush=True)


def write_tiles(folder: Path, count: int, *, seed: int) -> None:
    """Small pictures whose colours follow the place, so that a semivariogram has what to fit."""
    generator = np.random.default_rng(seed)
    latlon = sample_sphere(count, generator=generator)
    colour = 127 + 90 * np.sin(unit_vectors(latlon) @ np.random.default_rng(0).normal(size=(3, 3)))
    with ShardWriter(folder, samples_per_shard=60) as writer:
        for row, (lat, lon) in enumerate(latlon.tolist()):
            pixels = colour[row] + generator.normal(scale=25, size=(24, 24, 3))
            buffer = io.BytesIO()
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG")
            key = f"{seed}-{row}"
            writer.write(Record(key=key, image_bytes=buffer.getvalue(), latlon_deg=(lat, lon)))


def write_config(folder: Path) -> Path:
    write_tiles(folder / "train", 600, seed=1)
    write_tiles(folder / "val", 60, seed=2)
    tree = yaml.safe_load((ROOT / "configs/resume_check.yaml").read_text())
    tree["data"] = {
        "train": str(folder / "train"),
        "validation": str(folder / "val"),
        "batch_size": 32,
        "shuffle_buffer": 100,
        "cache_folder": str(folder / "features"),
    }
    tree["model"]["image_encoder"] |= {"image_size": 24, "width": 8}
    tree["negatives"]["queue"] = 96
    tree["training"] |= {"epochs": 6, "checkpoint_every_steps": 4}
    tree["training"] |= {"log_every_steps": 1, "trace_samples": True}
    tree["evaluation"] = {"even_land_places": 100, "batch_size": 60}
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


def forked(log: Path, work: Callable[[], int]) -> int:
    """A process of its own group with the imports behind it; its number."""
    sys.stdout.flush()
    number = os.fork()
    if number:
        return number
    os.setsid()
    with log.open("ab", buffering=0) as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    code = 1
    try:
        code = work()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    raise AssertionError


def started(run: Path, words: tuple[str, ...], config: Path) -> int:
    given = ["train", str(config), f"run_dir={run}", "resume=auto", *words]
    return forked(run.with_suffix(".log"), lambda: command_line(given))


def ended(number: int, within_s: float) -> int | None:
    """The exit code (negative: the signal), or None while it still runs."""
    until = time.monotonic() + within_s
    while True:
        done, status = os.waitpid(number, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= until:
            return None
        time.sleep(0.001)


def killed(number: int) -> bool:
    """Kill the whole group; whether that was what ended its leader."""
    os.killpg(number, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]) == -signal.SIGKILL


def digests(run: Path) -> dict[str, str]:
    newest = find_latest(run / "checkpoints")
    assert newest is not None
    files = [newest / f"{part}.safetensors" for part in ("model", "optimizer", "extra")]
    files += [run / "checkpoints/last/model.safetensors", run / "model/model.safetensors"]
    return {
        str(file.relative_to(run)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files
    }


def lines(run: Path) -> list[tuple[tuple[object, ...], str]]:
    """(name, content) of each whole line of both files, but for times."""
    found = []
    for name in ("metrics.jsonl", "samples.jsonl"):
        file = run / name
        for text in file.read_text().splitlines(keepends=True) if file.exists() else []:
            if text.endswith("\n"):
                timeless = {k: v for k, v in json.loads(text).items() if k[:6] != "speed/"}
                line = (name, timeless["step"], *sorted({key[:6] for key in timeless}))
                found.append((line, json.dumps(timeless)))
    return found


def marks(run: Path, pattern: str) -> set[tuple[str, int]]:
    """Name and inode of what is there; a folder of the same name made anew is another."""
    found = set()
    for path in (run / "checkpoints").glob(pattern):
        with contextlib.suppress(OSError):
            found.add((path.name, path.stat().st_ino))
    return found


def killed_once(number: int, run: Path, dice: random.Random, straight_s: float) -> str | None:
    """Kill at random, or some way into a save; what it was busy with, None: it had ended."""
    before = [marks(run, pattern) for pattern in LEFT_BY_A_SAVE]
    way = dice.choice(("time", "lines", "lines", "save", "save"))
    begun, wanted = len(lines(run)), dice.randint(1, 8 if way == "save" else 100)
    seen, limit = set(before[0]), dice.uniform(0.0, 0.3 * straight_s) if way == "time" else 60.0
    until, done = time.monotonic() + limit, 0
    while done < wanted and time.monotonic() < until:
        if ended(number, 0.005 if way != "save" else 0.0) is not None:
            return None
        if way == "lines":
            done = abs(len(lines(run)) - begun)
        elif way == "save":
            seen |= marks(run, LEFT_BY_A_SAVE[0])
            done = len(seen - before[0])
    time.sleep(dice.uniform(0.0, 0.03))
    if not killed(number):
        return None
    if any(marks(run, pattern) - old for pattern, old in zip(LEFT_BY_A_SAVE, before, strict=True)):
        return "inside a save"
    return (
        "elsewhere" if any((run / "checkpoints").glob("step-*")) else "before the first checkpoint"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Straight:
    """A run left alone."""

    words: tuple[str, ...]
    digests: dict[str, str]
    lines: list[tuple[tuple[object, ...], str]]
    took_s: float


def straight_run(run: Path, config: Path, words: tuple[str, ...]) -> Straight:
    began = time.monotonic()
    command = [sys.executable, str(ROOT / "train.py"), str(config), f"run_dir={run}", *words]
    subprocess.run(command, check=True, capture_output=True)
    took_s = time.monotonic() - began
    return Straight(words=words, digests=digests(run), lines=lines(run), took_s=took_s)


def killed_some_times(run: Path, config: Path, straight: Straight, dice: random.Random) -> Counter:
    """Kill a run two to four times, and hold what each kill left against the straight run."""
    told: Counter[str] = Counter()
    known, again = dict(straight.lines), set()
    for _ in range(dice.randint(2, 4)):
        number = started(run, straight.words, config)
        moment = killed_once(number, run, dice, straight.took_s)
        if moment is None:
            break
        told["kills"] += 1
        told[moment] += 1
        newest = find_latest(run / "checkpoints")
        saved = 0 if newest is None else int(newest.name[5:])
        for line, content in lines(run):
            told["lines left by kills"] += 1
            if known.get(line) != content:
                fault(f"{run.name}, before a kill: {line}: {content[:200]}")
            if int(str(line[1])) > saved:
                again.add(line)
    told["lines written twice"] = len(again)
    return told


def must_end_like(straight: Straight, run: Path, config: Path) -> None:
    code = ended(started(run, straight.words, config), 300.0)
    if code != 0:
        fault(f"{run.name} ended with {code}:\n{run.with_suffix('.log').read_text()[-2000:]}")
    elif digests(run) != straight.digests:
        fault(f"{run.name}: other bytes in the last checkpoint")
    elif lines(run) != straight.lines:
        fault(f"{run.name}: other lines")


def killed_runs(folder: Path, kills: int, dice: random.Random) -> None:
    config = write_config(folder)
    straight = {
        kind: straight_run(folder / f"straight {kind}", config, words)
        for kind, words in KINDS.items()
    }
    totals = {kind: Counter[str]() for kind in KINDS}
    for turn in itertools.count():
        if turn >= 20 and sum(told["kills"] for told in totals.values()) >= kills:
            break
        kind = list(KINDS)[turn % len(KINDS)]
        run = folder / f"{kind} ({turn})"
        totals[kind] += killed_some_times(run, config, straight[kind], dice)
        must_end_like(straight[kind], run, config)
        totals[kind] += Counter({"runs": 1, "lines at the end": len(straight[kind].lines)})
        shutil.rmtree(run, ignore_errors=True)
    columns = ("runs", "kills", "inside a save", "before the first checkpoint", "elsewhere",
               "lines left by kills", "lines written twice", "lines at the end")  # fmt: skip
    print(f"  columns: {', '.join(columns)}; seconds of the straight run")
    for kind, told in totals.items():
        counts = "".join(f"{told[name]:>7,}" for name in columns)
        print(f"  {kind:18}{counts} {straight[kind].took_s:8.1f} s")
    total = sum(totals.values(), Counter())
    print(f"  {'all':18}" + "".join(f"{total[name]:>7,}" for name in columns))


def content(number: int, size: int = 250_000) -> Checkpoint:
    tensors = {"weight": torch.full((size,), float(number))}
    return Checkpoint(
        model=tensors, optimizer={"moment": tensors["weight"] * 2}, extra={}, state={"n": number}
    )


def kills_while_saving(folder: Path, kills: int, dice: random.Random) -> None:
    def saving(first: int, returned: int) -> int:
        os.write(returned, b"begun\n")
        for number in itertools.count(first):
            # Each step twice: the second save replaces the first.
            save_checkpoint(folder, number // 2, content(number))
            prune(folder, keep_last=2)
            os.write(returned, b"%d\n" % number)
        return 0

    began = time.monotonic()
    for number in range(6):
        save_checkpoint(folder, number // 2, content(number))
    save_s, last = (time.monotonic() - began) / 6, 5
    left: Counter[str] = Counter()
    for _ in range(kills):
        reading, writing = os.pipe()
        child = forked(folder.with_suffix(".log"), lambda: saving(last + 1, writing))  # noqa: B023
        os.close(writing)
        os.read(reading, 6)
        time.sleep(dice.uniform(0.0, 3 * save_s))
        killed(child)
        with os.fdopen(reading, "rb") as stream:
            last = max([last, *(int(line) for line in stream.read().splitlines())])
        names = [path.name for path in folder.iterdir() if path.name != "last"]
        inside = [suffix for suffix in ("writing", "deleting", "replaced")
                  if any(name.endswith(suffix) for name in names)]  # fmt: skip
        left[" and ".join(inside) or "nothing"] += 1
        newest = find_latest(folder)
        found = -1 if newest is None else int(load_checkpoint(newest).state["n"])
        if newest is None or found < last:
            fault(f"save {last} had returned, and the newest that loads is {found}: {names}")
        elif not bool((load_checkpoint(newest).model["weight"] == float(found)).all()):
            fault(f"{newest} is not what was saved")
        weight = load_file(folder / "last/model.safetensors")["weight"]
        if weight.min() != weight.max() or not 0 <= float(weight[0]) <= found:
            fault(f"last holds {float(weight[0])}, the newest is {found}")
        last = max(last, found)
    print(f"  {kills} kills, {save_s * 1e3:.0f} ms a save, {last} saves; left over: {dict(left)}")


@contextlib.contextmanager
def small_disk(folder: Path, size: str):
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def filled(disk: Path, free: int) -> Path:
    """Fill the disk but for `free` bytes (or a page more); gives the file to delete."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as stream:
        with contextlib.suppress(OSError):
            while stream.write(bytes(65536)):
                pass
        stream.truncate(stream.tell() - free)
    return filler


def saves_on_a_full_disk(disk: Path, offsets: int) -> None:
    old = save_checkpoint(disk / "saves", 1, content(1))
    size = sum(path.stat().st_size for path in old.iterdir())
    refused = 0
    for offset in range(offsets):
        filler = filled(disk, size * offset // offsets)
        try:
            save_checkpoint(disk / "saves", 2, content(2))
            fault(f"a save at {offset}/{offsets} of its size went through")
        except CheckpointError as error:
            refused += "intact" in str(error) and "\n" not in str(error)
        if find_latest(disk / "saves") != old or load_checkpoint(old).state["n"] != 1:
            fault(f"the old checkpoint does not load after a full disk at {offset}/{offsets}")
        filler.unlink()
        shutil.rmtree(save_checkpoint(disk / "saves", 2, content(2)))
    print(f"  {refused} of {offsets} saves refused in one line; the old checkpoint loads each time")
    shutil.rmtree(disk / "saves")


def runs_on_a_full_disk(folder: Path, disk: Path) -> None:
    config = write_config(folder / "data")
    straight = straight_run(folder / "straight", config, KINDS["stream, 0 workers"])
    for free in (0, 4096, 40_000, 400_000, 1_000_000):
        run = disk / f"run{free}"
        number = started(run, straight.words, config)
        while not find_latest(run / "checkpoints"):
            time.sleep(0.02)
        filler = filled(disk, free)
        code, said = ended(number, 300.0), run.with_suffix(".log").read_text()
        line = said.strip().splitlines()[-1] if said.strip() else ""
        print(f"  {free:>9,} bytes free: code {code}: {line.replace(str(disk), 'DISK')[:110]}")
        if code != 2 or not line.startswith("geoloc: cannot"):
            fault(f"a run on a full disk ended with {code}:\n{said[-2000:]}")
        if find_latest(run / "checkpoints") is None:
            fault("no checkpoint outlived a full disk")
        filler.unlink()
        must_end_like(straight, run, config)
        shutil.rmtree(run, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="runs|saves|disk")
    parser.add_argument("--kills", type=int, default=50, help="of runs; saves take four times that")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    dice = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def disk() -> None:
            with small_disk(folder / "disk", "96m") as small:
                saves_on_a_full_disk(small, 20)
                runs_on_a_full_disk(folder, small)

        parts = {
            "runs": lambda: killed_runs(folder, args.kills, dice),
            "saves": lambda: kills_while_saving(folder / "saves", 4 * args.kills, dice),
            "disk": disk,
        }
        for part in args.parts or parts:
            began = time.monotonic()
            print(part, flush=True)
            parts[part]()
            print(f"  {time.monotonic() - began:.0f} s", flush=True)
    print(f"{len(faults)} differences")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
