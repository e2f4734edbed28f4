"""Computations of features that are killed or shared; a program, since it forks without threads."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from geoloc.data.feature_cache import FeatureCache
from geoloc.data.feature_encoding import FeatureEncoder, cached_features
from geoloc.data.feature_source import FeatureSource
from geoloc.data.shard_list import list_shards
from geoloc.data.transforms import Augmentation
from geoloc.models.image_encoder import ImagePreset
from geoloc.ranks import Ranks

VARIED = Augmentation(min_crop_scale=0.3, flip_probability=0.5)


def pixels(image: torch.Tensor) -> torch.Tensor:
    """A feature that is exactly the same in whatever batch the image stands."""
    return image[:, 1, ::5, 3::5].flatten(1)


def compute(folder: Path, shards: Any, **more: Any) -> FeatureCache:
    """A cache of shards in batches of 4; `encode`, `ranks`, `progress` go where they belong."""
    settings = {"ranks": more.pop("ranks", None), "progress": more.pop("progress", None)}
    encode = more.pop("encode", pixels)
    dtype = more.pop("dtype", "float16")
    defaults = {"preset": ImagePreset(size=16), "batch_size": 4, "augmentation": VARIED}
    source = FeatureSource(shards=list_shards(shards), **(defaults | more))
    encoder = FeatureEncoder(encode=encode, fingerprint="pixels", feature_dim=12, dtype=dtype)
    return cached_features(folder, source, encoder, **settings)


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a folder, but for the lock that a kill at the very end leaves."""
    files = [path for path in folder.iterdir() if path.name != ".lock"]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def in_a_fork(work: Callable[[], object]) -> int:
    """How a forked process ended that did this: 0, 1 after an exception, or minus a signal."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        work()
    except BaseException as error:
        sys.stderr.write(f"{error!r}\n")
        os._exit(1)
    os._exit(0)


def count_until(folder: Path, limit: int) -> list[int]:
    """Count what is done to files under a folder; at `limit` of them this process is killed."""
    count = [0]

    def one(*_: Any) -> None:
        count[0] += 1
        if count[0] == limit:
            os.kill(os.getpid(), signal.SIGKILL)

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if event in {"open", "os.rename", "os.remove", "os.mkdir"} and arguments:
            path = os.fspath(arguments[0]) if not isinstance(arguments[0], int) else ""
            if str(path).startswith(str(folder)):
                one()

    sys.addaudithook(hear)
    for name in ("pwrite", "fsync"):
        plain = getattr(os, name)
        setattr(os, name, lambda *a, plain=plain: (one(), plain(*a))[1])
    return count


def killed_everywhere(root: Path, shards: str, views: int, seed: int) -> dict[str, Any]:
    """Kill computations after every so many operations on files, and let others go on."""

    def straight() -> None:
        (root / "straight").mkdir()
        count = count_until(root / "straight", -1)
        compute(root / "straight/c", shards, views=views)
        (root / "count").write_text(str(count[0]))

    assert in_a_fork(straight) == 0
    operations = int((root / "count").read_text())
    wanted = digests(root / "straight/c")
    # All in the end, where files are put into place, and some on the way there.
    limits = {*random.Random(seed).sample(range(1, operations), 20)}
    limits |= {*range(operations - 25, operations + 1)}
    trials = []
    for limit in sorted(limits):
        folder = root / f"trial-{limit}"
        folder.mkdir()

        def dying(folder: Path = folder, limit: int = limit) -> None:
            count_until(folder, limit)
            compute(folder / "c", shards, views=views)

        ended = in_a_fork(dying)
        done = {path.name for path in folder.glob(".c.building/part-*.parquet")}
        placed = (folder / "c/meta.json").exists() or (folder / ".c.building/meta.json").exists()
        calls: list[int] = []

        def counted(image: torch.Tensor, calls: list[int] = calls) -> torch.Tensor:
            calls.append(len(image))
            return pixels(image)

        compute(folder / "c", shards, views=views, encode=counted)
        trials.append(
            {
                "limit": limit,
                "ended": ended,
                "done": len(done),
                "placed": placed,
                "encoded": sum(calls),
                "same": digests(folder / "c") == wanted,
                "left": sorted(path.name for path in folder.iterdir()),
            }
        )
        shutil.rmtree(folder)
    return {"operations": operations, "trials": trials}


def two_processes(root: Path, shards: str, views: int, workers: int) -> dict[str, Any]:
    """Two processes compute one cache, of which some shards are there already."""
    children = []
    for rank in range(2):
        child = os.fork()
        if child == 0:
            try:
                torch.distributed.init_process_group(
                    "gloo", init_method=f"file://{root}/meet-{workers}", rank=rank, world_size=2
                )
                encoded: list[int] = []

                def counted(image: torch.Tensor, encoded: list[int] = encoded) -> torch.Tensor:
                    encoded.append(len(image))
                    return pixels(image)

                folder = root / f"two-{workers}"
                more = {"views": views, "workers": workers, "encode": counted}
                cache = compute(folder, shards, ranks=Ranks.joined(), **more)
                told = {"samples": len(cache), "encoded": sum(encoded)}
                (root / f"rank-{workers}-{rank}").write_text(json.dumps(told))
                torch.distributed.destroy_process_group()
            except BaseException as error:
                sys.stderr.write(f"{error!r}\n")
                os._exit(1)
            os._exit(0)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    told = [json.loads((root / f"rank-{workers}-{rank}").read_text()) for rank in range(2)]
    return {"codes": codes, "told": told}


if __name__ == "__main__":
    torch.set_num_threads(1)
    what, where, source, first, second = sys.argv[1:]
    work = {"kills": killed_everywhere, "two": two_processes}[what]
    sys.stdout.write(json.dumps(work(Path(where), source, int(first), int(second))))
