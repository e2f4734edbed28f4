"""Geocells in use: search cell first against exact search, and a head of cells in training.

Run where the demo's data and run are (`make demo`), after
`geoloc cells configs/systems/geocells.yaml --out runs/geocells`:

OMP_NUM_THREADS=1 python benchmarks/geocells.py search runs/demo --cells runs/geocells/cells.parquet
OMP_NUM_THREADS=1 python benchmarks/geocells.py head configs/demo.yaml \
    --cells runs/geocells/cells.parquet --out runs/geocells_head

`search`: partitions of as many cells over the run's training places, asked by the embedded
test images: the share of queries whose exact best place is found, of exact top-5 places found, the
share of vectors compared, and accuracies. `head`: the same training without the head, with it, and
with smoothed targets, some seeds each, in turn; then answers by the head: the share of images whose
cell it names, the mean place of that cell, and the best place of the best cells, beside exact
search in the same runs and in those without a head. Differences are paired, with 95 % intervals
over spatial blocks and seeds.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from geoloc.evaluation import spatial_blocks
from geoloc.evaluation.comparison import RowErrors, compare
from geoloc.experiment.ablation import run_study
from geoloc.experiment.ablation_schema import AblationConfig, arm_config
from geoloc.experiment.embed_run import embed_source
from geoloc.experiment.galleries import TRAINING_PLACES, gallery_named
from geoloc.experiment.trained_run import TrainedRun, open_trained_run
from geoloc.geodesy import great_circle_km
from geoloc.inference.cell_head import cells_alone, head_cells
from geoloc.inference.modes import RetrievalMode
from geoloc.regions import Geocells
from geoloc.regions.partitions import partition
from geoloc.retrieval import CellFirstIndex, ExactIndex

RADII_KM = (25.0, 200.0, 750.0, 2500.0)
PROBES = (1, 2, 4, 8, 16)


def errors_km(places_deg: np.ndarray, true_deg: np.ndarray, row: Tensor) -> np.ndarray:
    return np.asarray(great_circle_km(true_deg, places_deg[row[:, 0].numpy()]))


def shown(km: np.ndarray) -> str:
    within = " / ".join(f"{100 * (km < radius).mean():.1f}" for radius in RADII_KM)
    return f"{within} / {np.median(km):.0f} km"


def search(run: Path, cells: Path) -> None:
    trained = open_trained_run(run)
    gallery = gallery_named(
        "training-places", trained.run, trained.config, trained.model, device="cpu"
    )
    own = Geocells.load(cells)
    made = {"geocells": own.cells_of_places(gallery.latlon_deg)} | {
        name: partition(
            name, gallery.latlon_deg, gallery.embedding.double().numpy(), count=len(own)
        )
        for name in ("quadtree", "h3", "k-means")
    }
    scale = float(trained.model.scale().detach())
    for split, source in trained.config.data.tests.items():
        embedded, _ = embed_source(trained, source, workers=0)
        query, true_deg = embedded.embedding, embedded.latlon_deg
        exact = ExactIndex(gallery.embedding).search(query, 5)
        whole = errors_km(gallery.latlon_deg, true_deg, exact.index)
        block = spatial_blocks(true_deg)
        print(f"\n## {split}: {len(query):,} queries, {len(gallery):,} places")
        print(f"exact search: {shown(whole)}")
        print("| partition | cells | told by | probed | best found | top 5 | compared | answers |")
        print("|---|---|---|---|---|---|---|---|")
        errors = {"exact": whole}
        for name, number in made.items():
            cell = torch.from_numpy(number)
            ways = [("centroid", probe) for probe in PROBES] + [("mass", 1)]
            for score, probe in ways:
                index = CellFirstIndex(
                    gallery.embedding, cell, score=score, probe=probe, scale=scale
                )
                found = index.search(query, 5).index
                best = (found[:, 0] == exact.index[:, 0]).float().mean()
                five = (found[:, :, None] == exact.index[:, None]).any(dim=1).float().mean()
                share = float(index.compared(query).mean()) / len(gallery)
                km = errors_km(gallery.latlon_deg, true_deg, found)
                if score == "mass":
                    errors[name] = km
                print(
                    f"| {name} | {int(number.max()) + 1} | {score} | {probe} | {100 * best:.1f} % "
                    f"| {100 * five:.1f} % | {100 * share:.1f} % | {shown(km)} |"
                )
        rows = {
            name: RowErrors(distance_km=km[None], rank=np.ones((1, len(km)), dtype=np.int64))
            for name, km in errors.items()
        }
        print("\nby mass less exact search, points [95 %]:")
        for each in compare(rows, ["exact"], block):
            if each.metric in ("accuracy@200km", "accuracy@750km", "accuracy@2500km"):
                told = f"{100 * each.delta:+.1f} [{100 * each.low:+.1f}, {100 * each.high:+.1f}]"
                print(f"{each.arm:<14} {each.metric:<16} {told}")


def head(experiment: Path, cells: Path, out: Path, seeds: tuple[int, ...]) -> None:
    file = str(cells.resolve())
    study = AblationConfig(
        name="A head of geocells beside the contrastive loss",
        experiment=experiment.resolve(),
        change={"model.location_encoder.hidden": 256, "training.threads": 1},
        arms={
            "none": {},
            "head": {"cells.file": file, "cells.weight": 0.5},
            "smoothed": {"cells.file": file, "cells.weight": 0.5, "cells.smoothing_km": 300.0},
        },
        seeds=seeds,
        baselines=("none",),
        jobs=1,
    )
    result = run_study(study, out=out, say=lambda line: print(line, file=sys.stderr))
    print((out / "ablation.md").read_text())
    for split in result.splits:
        by_head(study, split, out)


def answers(trained: TrainedRun, query: Tensor) -> dict[str, np.ndarray]:
    """The places that a run answers with, by the way."""
    model, run, device = trained.model, trained.run, trained.device
    gallery = gallery_named(TRAINING_PLACES, run, trained.config, model, device=device)
    searched = {"exact search": (gallery, ExactIndex(gallery.embedding))}
    if model.cell_head is not None:
        for probe in (1, 8):
            mode = RetrievalMode(cell_score="head", cell_probe=probe)
            opened = mode.open(model, gallery, device=device, run=run.path)
            searched[f"best place of {probe} cells"] = opened
        searched["mean place of the cell"] = cells_alone(model, run.path, device=device)
    return {
        name: places.latlon_deg[index.search(query, 1).index[:, 0].numpy()]
        for name, (places, index) in searched.items()
    }


@torch.no_grad()
def named_share(trained: TrainedRun, query: Tensor, true_deg: np.ndarray) -> float:
    """The share of images whose cell the head names; nan without a head."""
    model = trained.model
    if model.cell_head is None:
        return float("nan")
    best = model.cell_logits(query.to(trained.device)).argmax(dim=1).cpu().numpy()
    own = head_cells(model, trained.run.path).cells_of_places(true_deg)
    return float((best == own).mean())


def by_head(study: AblationConfig, split: str, out: Path) -> None:
    """What each arm answers a split with, by exact search and by its head."""
    print(f"\n## {split}: answers by the head, means of {len(study.seeds)} seeds")
    found: dict[str, list[np.ndarray]] = {}
    true_deg = np.empty((0, 2))
    for arm in study.arms:
        shares: list[float] = []
        for seed in study.seeds:
            trained = open_trained_run(arm_config(study, arm, seed, out=out).run_dir)
            embedded, _ = embed_source(trained, trained.config.data.tests[split], workers=0)
            true_deg = embedded.latlon_deg
            shares.append(named_share(trained, embedded.embedding, true_deg))
            for name, places_deg in answers(trained, embedded.embedding).items():
                km = np.asarray(great_circle_km(true_deg, places_deg))
                found.setdefault(f"{arm}: {name}", []).append(km)
        if not np.isnan(shares).any():
            print(f"{arm}: names the cell of {100 * np.mean(shares):.1f} % of the images")
    rows = {
        name: RowErrors(distance_km=np.stack(km), rank=np.ones((len(km), len(km[0])), np.int64))
        for name, km in found.items()
    }
    tell_rows(rows, spatial_blocks(true_deg))


def tell_rows(rows: dict[str, RowErrors], block: np.ndarray) -> None:
    """A table of accuracies, and differences from the first row."""
    radii = " | ".join(f"@{radius:g} km" for radius in RADII_KM)
    print(f"\n| answers | {radii} | median km |\n|---|{'---|' * 5}")
    for name, each in rows.items():
        within = (f"{100 * (each.distance_km < radius).mean():.1f}" for radius in RADII_KM)
        median = np.median(each.distance_km, axis=1).mean()
        print(f"| {name} | {' | '.join(within)} | {median:.0f} |")
    first = next(iter(rows))
    print(f"\nless {first}, points [95 %]:")
    for each in compare(rows, [first], block):
        if each.metric in ("accuracy@200km", "accuracy@750km", "accuracy@2500km"):
            told = f"{100 * each.delta:+.1f} [{100 * each.low:+.1f}, {100 * each.high:+.1f}]"
            print(f"{each.arm:<36} {each.metric:<16} {told}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("search", "head"))
    parser.add_argument("given", type=Path, metavar="RUN|CONFIG")
    parser.add_argument("--cells", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/geocells_head"))
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.what == "search":
        search(args.given, args.cells)
    else:
        head(args.given, args.cells, args.out, tuple(range(args.seeds)))


if __name__ == "__main__":
    main()
