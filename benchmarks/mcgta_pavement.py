"""MC-GTA on the Pavement series: agreement with the labels, tuned on 200 of them, over 20 splits.

Run: python benchmarks/mcgta_pavement.py FOLDER

FOLDER holds the authors' pavement-data.txt (1055 rows, the first five of ten dimensions are used)
and pavement-label.txt. Clusters are found without labels for every setting of a grid; in each
split 200 random labels choose the setting (by the adjusted Rand index) and the other 855 judge it.
Grids: of the source (eps 2, beta 0.5 to 0.69, delta 3.0 to 3.9: 200 settings), and for its own
unconstrained form 200 values of eps. AMI is what the authors print as NMI.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

from geoloc.regions import ClusterGrid, ClusterSettings, clusterings, prepare

SPLITS, KNOWN = 20, 200
GRIDS = {
    "constrained": ClusterGrid(),
    "unconstrained": ClusterGrid(
        eps=tuple(np.linspace(0.5, 3.0, 200).tolist()), weight=(0.0,), margin=(0.0,)
    ),
}


def judged(truth: np.ndarray, labels: list[np.ndarray]) -> np.ndarray:
    """ARI and AMI in percent, one row a split."""
    rows = []
    for seed in range(SPLITS):
        order = np.random.default_rng(seed).permutation(len(truth))
        known, rest = order[:KNOWN], order[KNOWN:]
        best = max(labels, key=lambda found: adjusted_rand_score(truth[known], found[known]))
        pair = truth[rest], best[rest]
        rows.append((adjusted_rand_score(*pair), adjusted_mutual_info_score(*pair)))
    return 100 * np.array(rows)


def main(folder: Path) -> None:
    """Print one row a form."""
    torch.set_num_threads(1)
    features = np.loadtxt(folder / "pavement-data.txt", delimiter=",")[:, :5]
    truth = np.loadtxt(folder / "pavement-label.txt").astype(np.int64)
    step = np.arange(len(features), dtype=np.float64)
    print(f"{len(features)} observations, {SPLITS} splits, tuned on {KNOWN} labels")
    print(
        "published, read off the authors' README: ARI 91.93, AMI 88.33; in the paper 77.64, 77.22"
    )
    print(f"{'distance':10} {'form':14} settings        ARI             AMI")
    for distance in ("embedding", "exact"):
        settings = ClusterSettings(metric="euclidean", unit="step", distance=distance)
        prepared = prepare(features, step, settings=settings)
        for name, grid in GRIDS.items():
            labels = [clusters.label for clusters in clusterings(prepared, grid)]
            score = judged(truth, labels)
            mean, spread = score.mean(axis=0), score.std(axis=0, ddof=1)
            print(
                f"{distance:10} {name:14} {len(labels):8} "
                f"{mean[0]:8.2f} ± {spread[0]:.2f} {mean[1]:8.2f} ± {spread[1]:.2f}"
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
