"""Image → place, image → image and both together on a trained run, with and without CSLS.

The references are the training images. The weight of the images in the combination and the
bandwidth of the vote are chosen on the validation images, by GeoScore; the test splits are then
scored once. CSLS is calibrated on the training images. Differences are paired, with 95 % intervals
over spatial blocks of 500 km. Hubness is that of the ten best of each query.

Embeddings are made when absent and kept in CACHE, one folder a split and space, as are CSLS's
corrections; that is what takes minutes.

Run: python benchmarks/retrieval_modes.py RUN CACHE [SPLIT ...]
"""

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from geoloc.batch import GeoBatch
from geoloc.evaluation import RowErrors, compare, geoscore, spatial_blocks
from geoloc.experiment.galleries import EVEN_LAND, TRAINING_PLACES, gallery_named
from geoloc.experiment.streams import plain_stream
from geoloc.experiment.trained_run import TrainedRun, open_trained_run
from geoloc.geodesy import great_circle_km
from geoloc.retrieval import (
    Candidates,
    Embedded,
    NearestIndex,
    SpatialVoteIndex,
    build_index,
    embed_stream,
    hubness,
)

SPACES = ("joint", "backbone")
WEIGHTS = (0.1, 0.25, 0.5, 0.75, 0.9)
BANDWIDTHS_KM = (30.0, 100.0, 300.0)
SHOWN = ("accuracy@25km", "accuracy@200km", "accuracy@750km", "accuracy@2500km", "median_km")
Way = tuple[Candidates, NearestIndex]


def embedded(trained: TrainedRun, split: str, source: str, cache: Path) -> dict[str, Embedded]:
    """Images of a split in the trained space and in the backbone's, kept for the next time."""
    folders = {space: cache / f"{split}-{space}" for space in SPACES}
    if not all((folder / "embedded.json").is_file() for folder in folders.values()):
        for space, folder in folders.items():
            stream = plain_stream(trained.config, trained.model.preset, source, workers=0)

            def encode(batch: GeoBatch, space: str = space) -> torch.Tensor:
                assert batch.image is not None
                feature = trained.model.backbone_features(batch.image)
                if space == "backbone":
                    return F.normalize(feature, dim=1)
                return trained.model.embed_features(feature)

            made = embed_stream(stream.epoch(0), encode, labels=())
            made.save(folder, model_fingerprint=trained.model.fingerprint())
    return {space: Embedded.load(folder) for space, folder in folders.items()}


def ranked(query: Embedded, way: Way) -> tuple[np.ndarray, np.ndarray]:
    """The ten best of each query, and how far the best is from the truth."""
    candidates, index = way
    ten = index.search(query.embedding, 10).index.numpy()
    return ten, np.asarray(great_circle_km(query.latlon_deg, candidates.latlon_deg[ten[:, 0]]))


def with_index(candidates: Candidates) -> Way:
    return candidates, candidates.index(partial(build_index, "exact"))


def chosen(name: str, ways: Mapping[float, Way], validation: Embedded) -> float:
    """The setting of highest GeoScore on the validation images."""
    scores = {
        value: float(geoscore(ranked(validation, way)[1]).mean()) for value, way in ways.items()
    }
    told = ", ".join(f"{value:g}: {score:.0f}" for value, score in scores.items())
    best = max(scores, key=scores.__getitem__)
    print(f"{name}, GeoScore on validation: {told}; chosen {best:g}")
    return best


def table(split: str, queries: Mapping[str, Embedded], ways: Mapping[str, tuple[str, Way]]) -> None:
    first = queries["joint"]
    block = spatial_blocks(first.latlon_deg)
    arms: dict[str, RowErrors] = {}
    print(f"\n{split}: {len(first):,} images, {len(np.unique(block))} blocks")
    print(
        f"{'':26}{'25 km':>7}{'200':>7}{'750':>7}{'2500':>7}{'median':>8}"
        "   hubs: skewness, never, largest"
    )
    for name, (space, way) in ways.items():
        ten, km = ranked(queries[space], way)
        arms[name] = RowErrors(distance_km=km[None], rank=np.ones((1, len(km)), dtype=np.int64))
        found = hubness(ten, len(way[0]))
        shares = "".join(f"{100 * np.mean(km < r):7.1f}" for r in (25, 200, 750, 2500))
        print(
            f"{name:26}{shares}{np.median(km):8.1f}"
            f"   {found.skewness:.2f}  {100 * found.never_share:.1f} %  {found.largest}"
        )
    print("differences (positive is better; percentage points, the median in km):")
    pairs = [(name, "place") for name in arms if name.split()[0] in {"images", "combined"}]
    pairs += [("combined", "images"), ("combined even-land", "place even-land")]
    pairs += [(name, name.removesuffix(" csls")) for name in arms if name.endswith(" csls")]
    told = compare(arms, list(arms), block)
    for arm, baseline in dict.fromkeys(pairs):
        cells = []
        for metric in SHOWN:
            (one,) = (c for c in told if (c.arm, c.baseline, c.metric) == (arm, baseline, metric))
            factor = 1.0 if metric == "median_km" else 100.0
            cells.append(
                f"{factor * one.delta:+.1f} [{factor * one.low:+.1f}, {factor * one.high:+.1f}]"
            )
        print(f"  {arm} - {baseline}: " + "  ".join(cells))


def main() -> None:
    torch.set_num_threads(1)
    trained = open_trained_run(Path(sys.argv[1]), device="cpu")
    cache, data, model = Path(sys.argv[2]), trained.config.data, trained.model
    assert data.validation is not None
    split = {"train": data.train, "validation": data.validation, **data.tests}
    made = {name: embedded(trained, name, str(source), cache) for name, source in split.items()}
    references, validation = made["train"]["joint"], made["validation"]
    galleries = {
        name: gallery_named(name, trained.run, trained.config, model, device="cpu")
        for name in (TRAINING_PLACES, EVEN_LAND)
    }
    mine, scale = model.fingerprint(), float(model.scale().detach())
    with torch.no_grad():
        place = model.embed_places(torch.tensor(references.latlon_deg))

    def both(gallery: str, weight: float) -> Candidates:
        return Candidates.of_both(galleries[gallery], references, place, weight=weight)

    images = Candidates.of_images(references, model_fingerprint=mine)
    weights = {
        name: chosen(
            f"weight over {name}",
            {weight: with_index(both(name, weight)) for weight in WEIGHTS},
            validation["joint"],
        )
        for name in galleries
    }

    def vote(candidates: Candidates, bandwidth_km: float) -> Way:
        inner = with_index(candidates)[1]
        index = SpatialVoteIndex(
            inner, candidates.latlon_deg, scale=scale, bandwidth_km=bandwidth_km
        )
        return candidates, index

    voted = {km: vote(images, km) for km in BANDWIDTHS_KM}
    plain = {
        "place": Candidates.of_places(galleries[TRAINING_PLACES]),
        "images": images,
        "combined": both(TRAINING_PLACES, weights[TRAINING_PLACES]),
        "place even-land": Candidates.of_places(galleries[EVEN_LAND]),
        "combined even-land": both(EVEN_LAND, weights[EVEN_LAND]),
    }
    ways: dict[str, tuple[str, Way]] = {}
    for name, candidates in plain.items():
        ways[name] = "joint", with_index(candidates)
        ways[f"{name} csls"] = "joint", with_index(candidates.corrected(references, cache=cache))
    ways["images vote"] = "joint", voted[chosen("vote, km", voted, validation["joint"])]
    behind = Candidates.of_images(made["train"]["backbone"], model_fingerprint=mine)
    ways["images backbone"] = "backbone", with_index(behind)
    held = behind.corrected(made["train"]["backbone"], cache=cache)
    ways["images backbone csls"] = "backbone", with_index(held)
    for name in sys.argv[3:] or data.tests:
        table(name, made[name], ways)


if __name__ == "__main__":
    main()
