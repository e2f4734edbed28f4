"""What an answer between the places of a gallery gains over the gallery's best place.

``run``: the test splits of a finished run, against its two galleries and a coarser one, under every
decoding; differences are paired, with 95 % intervals over spatial blocks. ``ripples``: how rough
the cosine is around the best hits of the validation split, with the location encoder's finest
branch and without. ``known``: the released GeoCLIP location encoder, asked with the embedding of a
place that is known (with noise of a given cosine), so that nothing but the gallery and the decoding
stands between query and truth.

Run: python benchmarks/continuous_decoding.py run RUN [SPLIT[:IMAGES] ...]
     python benchmarks/continuous_decoding.py known [QUERIES]
     python benchmarks/continuous_decoding.py ripples RUN
"""

import dataclasses
import sys
import time
from pathlib import Path

import numpy as np
import torch

from geoloc.evaluation import evaluate_split, nearest_place_index
from geoloc.experiment.decodings import decoded_frames, decoded_label, decoding_gains, place_field
from geoloc.experiment.embed_run import embed_source
from geoloc.experiment.galleries import EVEN_LAND, TRAINING_PLACES, gallery_named, place_encoder
from geoloc.experiment.trained_run import open_trained_run
from geoloc.geodesy import great_circle_km, jitter_m
from geoloc.inference.continuous import DECODINGS, STARTS_AMONG, decode_places
from geoloc.inference.place_field import PlaceField, around, hexagonal_lattice
from geoloc.models.geoclip import gallery_places, load_location_encoder, released_folder
from geoloc.models.location_encoder import scaled_equal_earth
from geoloc.places import Areas
from geoloc.retrieval import Embedded, ExactIndex, Gallery

COARSE = 5000
RELEASED_SCALE = 39.69
RADII_KM = (1.0, 25.0, 200.0)


def figures(km: np.ndarray) -> str:
    shares = " | ".join(f"{100 * (km < radius).mean():.1f}" for radius in RADII_KM)
    return f"{shares} | {np.median(km):.1f}"


def ceiling_km(true_deg: np.ndarray, gallery_deg: np.ndarray) -> np.ndarray:
    return great_circle_km(true_deg, gallery_deg[nearest_place_index(true_deg, gallery_deg)])


def galleries_of(trained) -> dict[str, Gallery]:
    found = {
        name: gallery_named(name, trained.run, trained.config, trained.model, device=trained.device)
        for name in (TRAINING_PLACES, EVEN_LAND)
    }
    found["coarse"] = Gallery.build(
        Areas.load().even_land_points(COARSE),
        place_encoder(trained.model, trained.device),
        model_fingerprint=trained.model.fingerprint(),
        name="coarse",
    )
    return found


def first_images(embedded: Embedded, count: int) -> Embedded:
    return Embedded(
        key=embedded.key[:count],
        latlon_deg=embedded.latlon_deg[:count],
        embedding=embedded.embedding[:count],
        label=embedded.label[:count],
    )


def of_run(folder: Path, splits: list[str]) -> None:
    trained = open_trained_run(folder, device="cpu")
    galleries = galleries_of(trained)
    print("| split, gallery, decoding | 1 km % | 25 km % | 200 km % | median km | 25 km, points"
          " | 200 km, points | median, km | CPU ms a query |")  # fmt: skip
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    for word in splits or list(trained.config.data.tests):
        split, _, count = word.partition(":")
        embedded, _ = embed_source(trained, trained.config.data.tests[split], workers=0)
        embedded = first_images(embedded, int(count or len(embedded)))
        for name, gallery in galleries.items():
            one_gallery(trained, embedded, gallery, f"{split}, {name}")


def one_gallery(trained, embedded: Embedded, gallery: Gallery, title: str) -> None:
    index = ExactIndex(gallery.embedding)
    frames = {gallery.name: evaluate_split(embedded, gallery, index=index)}
    place_field(trained, gallery).spacing_km(torch.zeros(1, dtype=torch.int64))
    cost = {gallery.name: 0.0}
    for decoding in DECODINGS[1:]:
        start = time.process_time()
        frames |= decoded_frames(
            trained, embedded, {gallery.name: (gallery, index)}, frames, decodings=[decoding]
        )
        spent = time.process_time() - start
        cost[decoded_label(gallery.name, decoding)] = 1e3 * spent / len(embedded)
    gains = {(each.arm, each.metric): each for each in decoding_gains(frames, gallery.name)}
    print(f"| {title}, ceiling | {figures(ceiling_km(embedded.latlon_deg, gallery.latlon_deg))}"
          " | | | | |")  # fmt: skip
    for label, frame in frames.items():
        true, guess = (
            frame[[f"{kind}_lat_deg", f"{kind}_lon_deg"]].to_numpy(np.float64)
            for kind in ("true", "pred")
        )
        shown = []
        for metric, factor in (("accuracy@25km", 100), ("accuracy@200km", 100), ("median_km", -1)):
            gain = gains.get((label, metric))
            if gain is None:
                shown.append("")
                continue
            low, high = sorted((factor * gain.low, factor * gain.high))
            shown.append(f"{factor * gain.delta:+.1f} [{low:+.1f}, {high:+.1f}]")
        decoding = label.partition("+")[2] or "argmax"
        print(f"| {title}, {decoding} | {figures(great_circle_km(true, guess))}"
              f" | {' | '.join(shown)} | {cost[label]:.1f} |", flush=True)  # fmt: skip


def without_finest(model, latlon_deg: torch.Tensor) -> torch.Tensor:
    encoder = model.location_encoder
    plane = scaled_equal_earth(latlon_deg.float())
    total = sum(encoder.branch(number)(plane) for number in range(len(encoder.sigmas) - 1))
    return torch.nn.functional.normalize(total, dim=-1)


@torch.no_grad()
def ripples(folder: Path) -> None:
    trained = open_trained_run(folder, device="cpu")
    embedded, _ = embed_source(trained, trained.config.data.validation, workers=0)
    gallery = galleries_of(trained)[TRAINING_PLACES]
    best = ExactIndex(gallery.embedding).search(embedded.embedding, 1).index[:, 0]
    whole = place_field(trained, gallery)
    cut = dataclasses.replace(whole, encode=lambda each: without_finest(trained.model, each))
    lattice = hexagonal_lattice(8)
    apart = torch.cdist(lattice, lattice)
    beside = (apart < 1.05 / 8) & (apart > 0)
    inner = (lattice.norm(dim=-1) < 0.95).nonzero().flatten().tolist()
    start = whole.latlon_deg[best]
    offset_km = lattice * 2 * whole.spacing_km(best)[:, None, None]
    own = whole.scores(embedded.embedding, torch.tensor(embedded.latlon_deg)[:, None])[:, 0]
    hit = whole.scores(embedded.embedding, start[:, None])[:, 0]
    print(
        f"cosine at the true place minus that at the best hit, median: {(own - hit).median():.3f}"
    )
    print(
        f"{'field':24s} {'local maxima a disc':>20s} {'25 km % of highest':>20s} {'median km':>10s}"
    )
    for name, field in (("whole encoder", whole), ("without finest branch", cut)):
        score = field.scores(embedded.embedding, around(start, offset_km))
        tops = sum((score[:, j] > score[:, beside[j]].amax(dim=1)).double().mean() for j in inner)
        highest = offset_km[torch.arange(len(score)), score.argmax(dim=1)]
        place = around(start, highest[:, None])[:, 0].numpy()
        km = great_circle_km(embedded.latlon_deg, place)
        print(f"{name:24s} {tops:20.1f} {100 * (km < 25).mean():20.1f} {np.median(km):10.1f}")


def known_truth(queries: int) -> None:
    encoder = load_location_encoder(released_folder() / "weights" / "location_encoder_weights.pth")

    def encode(latlon_deg: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(encoder(latlon_deg), dim=-1)

    generator = torch.Generator().manual_seed(0)
    land = torch.from_numpy(Areas.load().even_land_points(20_000))
    picked = land[torch.randperm(len(land), generator=generator)[:queries]]
    truth = jitter_m(picked, sigma_m=10_000.0, generator=generator)
    with torch.no_grad():
        own = torch.cat([encode(block) for block in truth.split(4096)])
    print("| gallery, cosine of query and its place, decoding | 1 km % | 25 km % | 200 km %"
          " | median km | CPU ms a query |")  # fmt: skip
    print("|---|--:|--:|--:|--:|--:|")
    places = {"geoclip 100k": gallery_places(), EVEN_LAND: Areas.load().even_land_points(30_000)}
    for name, latlon_deg in places.items():
        gallery = Gallery.build(
            latlon_deg, encode, model_fingerprint="released", name=name.replace(" ", "-")
        )
        field = PlaceField(
            latlon_deg=torch.tensor(gallery.latlon_deg),
            embedding=gallery.embedding,
            encode=encode,
            scale=RELEASED_SCALE,
        )
        print(f"| {name}, ceiling | {figures(ceiling_km(truth.numpy(), gallery.latlon_deg))} | |")
        for cosine in (1.0, 0.9, 0.6):
            noise = torch.randn(own.shape, generator=generator)
            noise = noise - (noise * own).sum(-1, keepdim=True) * own
            noise = torch.nn.functional.normalize(noise, dim=-1)
            query = cosine * own + (1 - cosine**2) ** 0.5 * noise
            query = torch.nn.functional.normalize(query, dim=-1)
            hits = ExactIndex(gallery.embedding).search(query, STARTS_AMONG).index
            for decoding in DECODINGS:
                start = time.process_time()
                decoded = decode_places(decoding, field, query, hits)
                spent = 1e3 * (time.process_time() - start) / queries
                km = great_circle_km(truth, decoded.latlon_deg).numpy()
                print(f"| {name}, {cosine}, {decoding} | {figures(km)} | {spent:.1f} |", flush=True)


def main() -> None:
    torch.set_num_threads(1)
    if len(sys.argv) > 2 and sys.argv[1] == "run":
        of_run(Path(sys.argv[2]), sys.argv[3:])
    elif len(sys.argv) > 2 and sys.argv[1] == "ripples":
        ripples(Path(sys.argv[2]))
    elif len(sys.argv) > 1 and sys.argv[1] == "known":
        known_truth(int(sys.argv[2]) if len(sys.argv) > 2 else 200)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
