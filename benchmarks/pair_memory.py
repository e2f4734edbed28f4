"""Memory and arithmetic of the loss of a large batch: geoloc in tiles, open_clip's ClipLoss, whole.

For each way a process of its own makes the embeddings of N images and N places (d = 512), takes
the loss one way (or both ways, as ClipLoss does) and its gradients, and tells its peak memory
beyond embeddings and their gradients, its CPU time, and that time over what one matrix product of
images and places takes. The losses must be equal. Tiles cost two products forward and two for the
gradients: 4, where 3 is the least.

Run: python benchmarks/pair_memory.py [N ...]    (16384; 65536 takes minutes, tiles only)
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch.nn import functional

from geoloc.losses import graded_contrastive_loss
from geoloc.models.torchvision_compat import declare_missing_operators
from geoloc.negatives import Candidates, all_negatives, observe
from geoloc.training import PairTiling
from geoloc.training.pair_tiles import pair_tiles_loss
from geoloc.training.step import PairTally

WIDTH, SCALE, PAIRS = 512, 14.0, 4_000_000
WHOLE_UP_TO = 20_000


def status_mb(name):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    raise KeyError(name)


def tiled(image, place, scale, *, both_ways):
    """geoloc's loss as a step with the rule `all` takes it."""
    count = len(image)
    latlon = torch.zeros(count, 2, dtype=torch.float64)
    candidates = Candidates(batch_places=count, latlon_deg=latlon, own_column=torch.arange(count))

    def judge(rows):
        return all_negatives(observe(latlon[rows], latlon, candidates.own(rows)))

    return pair_tiles_loss(
        image,
        place,
        judge,
        scale=scale,
        tiling=PairTiling(loss=graded_contrastive_loss, both_ways=both_ways, pairs=PAIRS),
        batch_places=count,
        watch=PairTally(candidates).add,
    )


def open_clip_loss(image, place, scale):
    declare_missing_operators()
    from open_clip.loss import ClipLoss

    return ClipLoss()(image, place, scale)


def whole(image, place, scale):
    return functional.cross_entropy(scale * image @ place.T, torch.arange(len(image)))


WAYS = {
    "geoloc, one way": lambda *given: tiled(*given, both_ways=False),
    "cross-entropy, one way": whole,
    "geoloc, both ways": lambda *given: tiled(*given, both_ways=True),
    "open_clip ClipLoss": open_clip_loss,
}


def measure(way, count):
    generator = torch.Generator().manual_seed(0)
    image, place = (
        functional.normalize(torch.randn(count, WIDTH, generator=generator), dim=1)
        for _ in range(2)
    )
    scale = torch.tensor(SCALE, requires_grad=True)
    # A first small pass brings in all code and buffers.
    small = [each[:256].clone().requires_grad_() for each in (image, place)]
    WAYS[way](*small, scale).backward()
    for each in (image, place):
        each.requires_grad_()
        each.grad = torch.zeros_like(each)
    before = status_mb("VmRSS")
    began = time.process_time()
    loss = WAYS[way](image, place, scale)
    loss.backward()
    spent = time.process_time() - began
    beyond = status_mb("VmHWM") - before
    rows = max(1, PAIRS // count)
    began = time.process_time()
    for _ in range(3):
        image.detach()[:rows] @ place.detach().T
    product = (time.process_time() - began) / 3 * count / rows
    print(
        json.dumps({"loss": loss.item(), "mb": beyond, "cpu": spent, "products": spent / product})
    )


def main():
    if len(sys.argv) == 3 and sys.argv[1] in WAYS:
        measure(sys.argv[1], int(sys.argv[2]))
        return
    for count in [int(word) for word in sys.argv[1:]] or [16_384]:
        losses = {}
        embeddings = 4 * count * WIDTH * 4 / 2**20
        print(f"{count:,} images and places; embeddings and gradients {embeddings:,.0f} MB")
        for way in WAYS if count <= WHOLE_UP_TO else list(WAYS)[:1]:
            call = [sys.executable, __file__, way, str(count)]
            done = subprocess.run(call, capture_output=True, text=True, check=True)
            told = json.loads(done.stdout.splitlines()[-1])
            both = way in ("geoloc, both ways", "open_clip ClipLoss")
            first = losses.setdefault(both, told["loss"])
            assert abs(told["loss"] - first) < 1e-4, (way, told["loss"], first)
            print(
                f"  {way:31} {told['mb']:8,.0f} MB beyond them {told['cpu']:8.1f} CPU-s "
                f"= {told['products']:.1f} products; loss {told['loss']:.5f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
