"""What an occlusion map costs, and whether it finds what the answer rests on.

    python benchmarks/occlusion.py --run runs/demo --data data/earth_tiles_demo/test_easy

Deletion (Petsiuk et al. 2018, "RISE"): cells are covered one after another, in order of effect and
in random order, and the log probability near the answer is averaged over the first so many. Cells
are covered by the same cell of the image turned upside down, which the maps were not made with.
Maps of one cover alone are ordered by in the same way; ``grey`` is the preset's mean, the cover of
Zeiler and Fergus. Intervals: 95 %, bootstrap over images.
"""

from __future__ import annotations

import argparse
import io
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from geoloc.data.transforms import preprocess
from geoloc.geodesy import great_circle_km
from geoloc.inference import Geolocator
from geoloc.inference.covering import covered, patch_boxes
from geoloc.inference.explanation import FILLS, Occlusion, explain

STEPS = (1, 2, 3, 4, 6, 8, 10)
MOVED_KM = 200.0
ORDERS = 4


def pictures(folder: Path, count: int) -> Iterator[Image.Image]:
    """The first images of a folder of shards."""
    for shard in sorted(folder.glob("*.tar")):
        with tarfile.open(shard) as members:
            for member in members:
                if count and member.name.endswith(".jpg"):
                    count -= 1
                    content = members.extractfile(member)
                    assert content is not None
                    yield Image.open(io.BytesIO(content.read())).convert("RGB")


class Deletion:
    """The log probability near the answer as cells are covered."""

    def __init__(self, geolocator: Geolocator, picture: Image.Image, how: Occlusion) -> None:
        self.model, gallery = geolocator.model, geolocator.gallery
        self.pixels = preprocess(picture, geolocator.preset)
        self.boxes = patch_boxes(geolocator.preset.size, how.cells, 1.0)
        self.place, self.scale = gallery.embedding, float(self.model.scale().detach())
        logit = self.logits(self.pixels[None])[0]
        best = gallery.latlon_deg[int(logit.argmax())]
        away_km = np.asarray(great_circle_km(best, gallery.latlon_deg))
        self.near = torch.from_numpy(away_km <= how.near_km)
        self.patches = patch_boxes(geolocator.preset.size, how.cells, how.reach)

    def log_mass(self, images: torch.Tensor) -> np.ndarray:
        """Log probability near the answer."""
        logit = self.logits(images)
        return (torch.logsumexp(logit[:, self.near], 1) - torch.logsumexp(logit, 1)).numpy()

    def effects(self) -> dict[str, np.ndarray]:
        """The effect of each patch under single covers."""
        covers = {fill: covered(self.pixels, self.patches, fill) for fill in FILLS}
        grey = self.pixels.repeat(len(self.patches), 1, 1, 1)
        for image, (top, left, bottom, right) in zip(grey, self.patches.tolist(), strict=True):
            image[:, top:bottom, left:right] = 0.0
        covers["grey"] = grey
        plain = self.log_mass(self.pixels[None])
        return {name: plain - self.log_mass(images) for name, images in covers.items()}

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """Scaled cosines with all places."""
        features = self.model.embed_features(self.model.backbone_features(images))
        return self.scale * (features @ self.place.T).double()

    def mean(self, order: np.ndarray) -> float:
        """Mean over STEPS of the log probability with so many first cells covered."""
        turned = self.pixels.flip(1, 2)
        images = []
        for count in STEPS:
            covered = self.pixels.clone()
            for top, left, bottom, right in self.boxes[order[:count]].tolist():
                covered[:, top:bottom, left:right] = turned[:, top:bottom, left:right]
            images.append(covered)
        return float(self.log_mass(torch.stack(images)).mean())


def interval(values: np.ndarray) -> str:
    """Mean with a 95 % interval."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(len(values), size=(2000, len(values)))].mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return f"{values.mean():.3f} ({low:.3f} to {high:.3f})"


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path("runs/demo"))
    parser.add_argument("--data", type=Path, default=Path("data/earth_tiles_demo/test_easy"))
    parser.add_argument("--images", type=int, default=40)
    args = parser.parse_args()
    torch.set_num_threads(1)
    geolocator, how = Geolocator.load(args.run), Occlusion()
    model, rng = geolocator.model, np.random.default_rng(0)
    rows: list[dict[str, float]] = []
    for number, picture in enumerate(pictures(args.data, args.images)):
        start = time.perf_counter()
        found = explain(geolocator, picture, how=how)
        whole = time.perf_counter() - start
        batch = preprocess(picture, geolocator.preset)[None].repeat(found.passes, 1, 1, 1)
        start = time.perf_counter()
        for part in batch.split(how.batch_size):
            model.embed_features(model.backbone_features(part))
        bare = time.perf_counter() - start
        deletion, cells = Deletion(geolocator, picture, how), found.effect.size
        single = deletion.effects()
        both = (single[FILLS[0]] + single[FILLS[1]]) / 2
        assert np.allclose(both, found.effect.ravel(), atol=1e-3)
        guided = deletion.mean(np.argsort(-found.effect.ravel(), kind="stable"))
        random = np.mean([deletion.mean(rng.permutation(cells)) for _ in range(ORDERS)])
        rows.append(
            {
                "cost": whole / bare if number else np.nan,  # the first one loads the gazetteer
                "guided": guided,
                "random": float(random),
                "strongest": float(found.moved_km[found.strongest] > MOVED_KM),
                "any": float((found.moved_km > MOVED_KM).mean()),
                "agreement": found.agreement,
                "reliable": float(found.reliable),
                "passes": found.passes,
                **{f"mean {name}": float(effect.mean()) for name, effect in single.items()},
                **{
                    f"by {name}": deletion.mean(np.argsort(-effect, kind="stable"))
                    for name, effect in single.items()
                },
            }
        )
    table = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    reliable = table["reliable"] > 0
    gain = table["random"] - table["guided"]
    print(f"{len(rows)} images, {rows[0]['passes']:.0f} passes each")
    print(f"time of a map / of its passes alone: median {np.nanmedian(table['cost']):.3f}")
    print(f"agreement of the two fills: median {np.median(table['agreement']):.2f}")
    for name in (*FILLS, "grey"):
        print(f"a patch covered by {name} costs {interval(table[f'mean {name}'])} nats; ", end="")
        print(f"deletion in its order {interval(table[f'by {name}'])}")
    print(f"reliable maps: {interval(table['reliable'])}")
    for name, chosen in (("all", reliable | True), ("reliable", reliable), ("not", ~reliable)):
        print(f"{name} ({chosen.sum()} images)")
        print(
            f"  strongest patch moves the answer > 200 km: {interval(table['strongest'][chosen])}"
        )
        print(f"  a random patch does: {interval(table['any'][chosen])}")
        print(f"  deletion by effect: {interval(table['guided'][chosen])} nats")
        print(f"  deletion at random: {interval(table['random'][chosen])} nats")
        print(f"  random minus by effect: {interval(gain[chosen])} nats")


if __name__ == "__main__":
    main()
