"""Import and export of GeoCLIP's released weights and gallery (package geoclip 1.3.0, MIT)."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor, nn

from geoloc.artifacts import write_atomically
from geoloc.errors import CheckpointError, DataError
from geoloc.models.dual_encoder import DualEncoder
from geoloc.models.image_encoder import ImageEncoder
from geoloc.models.initialization import seeded
from geoloc.models.location_encoder import LocationEncoder
from geoloc.models.weight_files import load_strict, read_scalar, read_tensors

LOCATION_FILE = "location_encoder_weights.pth"
IMAGE_HEAD_FILE = "image_encoder_mlp_weights.pth"
LOGIT_SCALE_FILE = "logit_scale_weights.pth"
GALLERY_FILE = "coordinates_100K.csv"
_PREFIX = "location_encoder."


def released_folder() -> Path:
    """The folder ``model`` of the installed geoclip package, found without importing it.

    Raises:
        CheckpointError: the package is not installed.
    """
    spec = importlib.util.find_spec("geoclip")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        return Path(folder) / "model"
    raise CheckpointError(
        "GeoCLIP's released weights are not here: pip install --no-deps geoclip==1.3.0, or give "
        "the folder of its weights"
    )


def load_location_encoder(
    path: str | Path, *, sigmas: Sequence[float] | None = None, seed: int = 0
) -> LocationEncoder:
    """GeoCLIP's location encoder from ``location_encoder_weights.pth`` or a safetensors file.

    All sizes are read from the file. The module is called on (n, 2) latitude, longitude in
    degrees and gives vectors that are not normalised, as released; it is in evaluation mode.
    Denormal weights become 0, which no output shows.

    Args:
        path: the file; names may begin with ``location_encoder.``.
        sigmas: the branches wanted. Each takes the file's branch of the same sigma; a branch
            that the file lacks is drawn under `seed` with a silent head (zero), so that the
            encoder starts equal to the sum of those that it has. Default: the file's own.
        seed: draws branches that the file does not have.

    Raises:
        CheckpointError: the file cannot be read, or is no location encoder.
    """
    state = _without_prefix(read_tensors(path))
    own = _measured_sigmas(state, source=str(path))
    wanted = tuple(own if sigmas is None else sigmas)
    hidden, double_features = state["LocEnc0.capsule.1.weight"].shape
    with seeded(seed):
        encoder = LocationEncoder(
            wanted,
            state["LocEnc0.head.0.weight"].shape[0],
            hidden=hidden,
            features=double_features // 2,
        )
    target = state if sigmas is None else _matched_by_sigma(encoder, state, own)
    load_strict(encoder, target, source=str(path))
    flush_denormals(encoder)
    return encoder.eval()


def fill_location_encoder(encoder: LocationEncoder, path: str | Path) -> None:
    """Give an encoder of the same architecture the released weights, as `load_location_encoder`.

    Raises:
        CheckpointError: the file cannot be read, or is of another architecture.
    """
    load_strict(encoder, _without_prefix(read_tensors(path)), source=str(path), assign=True)
    flush_denormals(encoder)


def load_image_head(path: str | Path) -> nn.Sequential:
    """GeoCLIP's image head (Linear, ReLU, Linear) from ``image_encoder_mlp_weights.pth``.

    Raises:
        CheckpointError: the file cannot be read, or is no image head.
    """
    state = read_tensors(path)
    if "0.weight" not in state or "2.weight" not in state:
        raise CheckpointError(f"{path}: no image head of GeoCLIP (0.weight and 2.weight missing)")
    hidden, feature = state["0.weight"].shape
    head = nn.Sequential(
        nn.Linear(feature, hidden), nn.ReLU(), nn.Linear(hidden, state["2.weight"].shape[0])
    )
    load_strict(head, state, source=str(path))
    flush_denormals(head)
    return head.eval()


def load_geoclip(backbone_encoder: ImageEncoder, folder: str | Path | None = None) -> DualEncoder:
    """GeoCLIP with its released heads on the given backbone, frozen, in evaluation mode.

    Args:
        backbone_encoder: CLIP ViT-L/14 with projected features (768); see `OpenClipEncoder`.
        folder: where the three weights files are; default: those of the installed package.

    Raises:
        CheckpointError: a file is missing, or the backbone's feature has another length.
    """
    folder = released_folder() / "weights" if folder is None else Path(folder)
    head = load_image_head(folder / IMAGE_HEAD_FILE)
    hidden, feature = head.state_dict()["0.weight"].shape
    if backbone_encoder.feature_dim != feature:
        raise CheckpointError(
            f"GeoCLIP's image head takes {feature} features, this backbone gives "
            f"{backbone_encoder.feature_dim}: use CLIP ViT-L/14 (ViT-L-14-quickgelu, openai)"
        )
    location_encoder = load_location_encoder(folder / LOCATION_FILE)
    with seeded(0):
        model = DualEncoder(
            backbone_encoder,
            location_encoder=location_encoder,
            embedding_dim=location_encoder.output_dim,
            head_hidden=hidden,
        )
    load_strict(model.mlp, head.state_dict(), source=str(folder / IMAGE_HEAD_FILE))
    with torch.no_grad():
        model.logit_scale.copy_(read_scalar(folder / LOGIT_SCALE_FILE))
    return model.eval()


def export_location_encoder(model: DualEncoder | LocationEncoder, path: str | Path) -> None:
    """Write the location encoder under GeoCLIP's names; the suffix chooses .pth or .safetensors.

    The .pth file is a plain state dict that GeoCLIP's own code loads.

    Raises:
        CheckpointError: the suffix is neither.
    """
    encoder = model.location_encoder if isinstance(model, DualEncoder) else model
    state = {name: value.detach().cpu().clone() for name, value in encoder.state_dict().items()}
    path = Path(path)
    suffix = path.suffix
    if suffix == ".safetensors":
        write_atomically(path, lambda file: save_file(state, file))
    elif suffix in (".pth", ".pt"):
        write_atomically(path, lambda file: torch.save(state, file))
    else:
        raise CheckpointError(f"{path}: give a name that ends in .pth or .safetensors")


def gallery_places(path: str | Path | None = None) -> Float[np.ndarray, "place 2"]:
    """Places of GeoCLIP's gallery as released: 100,000 rows, duplicates included, float64 degrees.

    Args:
        path: a CSV with columns LAT and LON; default: the installed package's.

    Raises:
        CheckpointError: no path is given and the package is not installed.
        DataError: the file is missing or does not have these columns.
    """
    if path is None:
        path = released_folder() / "gps_gallery" / GALLERY_FILE
    try:
        with Path(path).open(encoding="utf-8") as lines:
            if lines.readline().strip().upper() != "LAT,LON":
                raise DataError(f"{path}: the first line must be LAT,LON")
            return np.loadtxt(lines, delimiter=",", dtype=np.float64, ndmin=2)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as a list of places: {error}") from error


@torch.no_grad()
def flush_denormals(module: nn.Module) -> None:
    """Weights too small for a normal float32 (below 1.2e-38) become 0.

    Released weights hold tens of thousands, left of units that died in training. They add nothing
    to any output, but a CPU multiplies them some ten times slower.
    """
    for weights in module.parameters():
        weights[weights.abs() < torch.finfo(weights.dtype).tiny] = 0.0


def _without_prefix(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    if not any(name.startswith(_PREFIX) for name in state):
        return dict(state)
    return {
        name.removeprefix(_PREFIX): value
        for name, value in state.items()
        if name.startswith(_PREFIX)
    }


def _matched_by_sigma(
    encoder: LocationEncoder, state: Mapping[str, Tensor], own: tuple[float, ...]
) -> dict[str, Tensor]:
    target = encoder.state_dict()
    for number, sigma in enumerate(encoder.sigmas):
        place = f"LocEnc{number}."
        if sigma in own:
            origin = f"LocEnc{own.index(sigma)}."
            found = {key: value for key, value in state.items() if key.startswith(origin)}
            target |= {place + key.removeprefix(origin): found[key] for key in found}
        else:
            head = (f"{place}head.0.weight", f"{place}head.0.bias")
            target |= {name: torch.zeros_like(target[name]) for name in head}
    return target


def _measured_sigmas(state: Mapping[str, Tensor], *, source: str) -> tuple[float, ...]:
    # Files hold the drawn frequencies, not their sigma: the next power of two, if within four
    # standard errors of the estimate.
    sigmas: list[float] = []
    while (name := f"LocEnc{len(sigmas)}.capsule.0.b") in state:
        drawn = state[name].double()
        measured = float(drawn.square().mean().sqrt())
        power = 2.0 ** round(math.log2(measured)) if measured > 0 else 1.0
        near = abs(measured / power - 1) < 4 / math.sqrt(2 * drawn.numel())
        sigmas.append(power if near else measured)
    needed = ("LocEnc0.capsule.1.weight", "LocEnc0.head.0.weight")
    if not sigmas or min(sigmas) <= 0 or any(name not in state for name in needed):
        raise CheckpointError(f"{source}: no location encoder of GeoCLIP (LocEnc0... missing)")
    return tuple(sigmas)
