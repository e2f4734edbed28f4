"""The released package's own code is the oracle; transformers alone is stood in for."""

from __future__ import annotations

import copy
import importlib
import importlib.util
import io
import json
import sys
import types
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import geoloc
from geoloc.errors import CheckpointError, ConfigError, CoordinateError, ImageError
from geoloc.inference import geoclip, geoclip_encoders, released
from geoloc.models.torchvision_compat import declare_missing_operators

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("geoclip") is None, reason="the package geoclip is not installed"
)

SMALL_CLIP = {
    "embed_dim": 768,
    "quick_gelu": True,
    "vision_cfg": {
        "image_size": 224,
        "layers": 1,
        "width": 32,
        "head_width": 16,
        "patch_size": 56,
    },
    "text_cfg": {"context_length": 4, "vocab_size": 16, "width": 16, "heads": 2, "layers": 1},
}
PLACES = torch.tensor(
    [
        [48.86, 2.35],
        [-33.92, 18.42],
        [48.86, 2.35],
        [35.68, 139.65],
        [-17.0, 180.0],
        [-17.0, -180.0],
    ]
)


@pytest.fixture(scope="module")
def small_clip(tmp_path_factory):
    """A CLIP with ViT-L/14's feature length, known to open_clip, and the file of its weights."""
    declare_missing_operators()
    import open_clip

    from geoloc.models.open_clip_encoder import create_clip

    folder = tmp_path_factory.mktemp("clip")
    (folder / "small-768.json").write_text(json.dumps(SMALL_CLIP))
    open_clip.add_model_config(folder / "small-768.json")
    torch.manual_seed(0)
    state = create_clip("small-768", None, None).state_dict()
    file = folder / "model.safetensors"
    save_file({name: value.contiguous() for name, value in state.items()}, file)
    return file


@pytest.fixture(scope="module")
def their_package():
    """The modules of the installed package, with a stand-in for transformers."""
    stand_in = types.ModuleType("transformers")
    for name in ("AutoProcessor", "CLIPConfig", "CLIPImageProcessor", "CLIPModel"):
        setattr(stand_in, name, object)
    # Its __init__ would import what only its training needs.
    package = types.ModuleType("geoclip")
    package.__path__ = importlib.util.find_spec("geoclip").submodule_search_locations
    before = dict(sys.modules)
    sys.modules.update(transformers=stand_in, geoclip=package)
    try:
        with warnings.catch_warnings():
            # TorchScript is deprecated, and theirs uses it.
            warnings.simplefilter("ignore", DeprecationWarning)
            return importlib.import_module("geoclip.model")
    finally:
        for name in [n for n in sys.modules if n.split(".")[0] in {"geoclip", "transformers"}]:
            del sys.modules[name]
            if name in before:
                sys.modules[name] = before[name]


@pytest.fixture
def ours(small_clip, tmp_path, monkeypatch):
    monkeypatch.setattr(geoclip_encoders, "DEFAULT_NAME", "small-768")
    model = geoclip.GeoCLIP(clip_path=small_clip, cache_folder=tmp_path / "cache").eval()
    model.gps_gallery = PLACES
    return model


@pytest.fixture
def theirs(their_package, ours):
    """Their class around the same image encoder, since theirs needs transformers."""
    model = their_package.GeoCLIP.__new__(their_package.GeoCLIP)
    torch.nn.Module.__init__(model)
    model.image_encoder = ours.image_encoder
    model.location_encoder = their_package.LocationEncoder()
    model.logit_scale = torch.nn.Parameter(ours.logit_scale.detach().clone())
    model.register_buffer("gps_gallery", PLACES, persistent=False)
    model._initialize_gps_queue(7)
    return model.eval()


def photo(size=(301, 224), seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def same_prediction(ours, theirs, path, top_k=6):
    (our_places, our_share), (places, share) = (
        model.predict(path, top_k) for model in (ours, theirs)
    )
    # The order of the two equal places of Paris is nobody's business.
    assert torch.equal(our_places, places)
    # A rounding of a place is some 1e-4 in the phases of its finest features (sigma 256).
    torch.testing.assert_close(our_share, share, rtol=5e-4, atol=1e-7)


def test_predict_gives_the_released_places_and_probabilities(ours, theirs, tmp_path):
    for number, size in enumerate([(301, 224), (224, 224), (250, 401)]):
        path = tmp_path / f"{number}.png"
        photo(size, seed=number).save(path)
        same_prediction(ours, theirs, path)


def test_a_gallery_with_repetitions_and_both_names_of_a_meridian_is_as_released(ours, theirs):
    places, share = ours.predict(photo(), 6)
    assert sorted(map(tuple, places.tolist())) == sorted(map(tuple, PLACES.tolist()))
    assert share.sum().item() == pytest.approx(1.0)
    image = ours.image_encoder.preprocess_image(photo())
    with torch.no_grad():
        logits, known = theirs(image, PLACES), ours(image, ours.gps_gallery)
    torch.testing.assert_close(known, logits, rtol=1e-5, atol=1e-4)
    assert known[0, 0] == known[0, 2]
    assert abs(known[0, 4] - known[0, 5]) > 1e-3


def test_another_gallery_is_seen_however_it_comes(ours, theirs, tmp_path):
    path = tmp_path / "a.png"
    photo().save(path)
    ours.predict(path, 1)
    others = [torch.tensor([[0.0, 0.0], [10.0, 20.0]]), torch.tensor([[-5.0, 7.0], [10.0, 20.0]])]
    for gallery in others:
        ours.gps_gallery = theirs.gps_gallery = gallery
        same_prediction(ours, theirs, path, top_k=2)
    # In place, and behind torch's back.
    ours.gps_gallery[0, 0] = 44.0
    same_prediction(ours, theirs, path, top_k=2)
    ours.gps_gallery.numpy()[1, 1] = -44.0
    same_prediction(ours, theirs, path, top_k=2)


def test_another_location_encoder_is_seen_and_training_leaves_no_files(ours, theirs, tmp_path):
    path = tmp_path / "a.png"
    photo().save(path)
    ours.predict(path, 1)
    assert len(list((tmp_path / "cache").iterdir())) == 1
    with torch.no_grad():
        for weights in ours.location_encoder.parameters():
            weights.mul_(1.01)
    theirs.location_encoder.load_state_dict(ours.location_encoder.state_dict())
    same_prediction(ours, theirs, path)
    optimizer = torch.optim.SGD(ours.location_encoder.parameters(), lr=0.1)
    ours(ours.image_encoder.preprocess_image(photo()), ours.gps_gallery).sum().backward()
    optimizer.step()
    theirs.location_encoder.load_state_dict(ours.location_encoder.state_dict())
    same_prediction(ours, theirs, path)
    assert len(list((tmp_path / "cache").iterdir())) == 1
    ours.load_state_dict(ours.state_dict())
    ours.predict(path, 1)
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_the_gallery_is_encoded_once_and_kept_on_disk(ours, small_clip, tmp_path, monkeypatch):
    first = ours.predict(photo(), 3)
    monkeypatch.setattr(released.Gallery, "build", None)
    ours.predict(photo(), 3)
    again = geoclip.GeoCLIP(clip_path=small_clip, cache_folder=tmp_path / "cache").eval()
    again.gps_gallery = PLACES
    assert all(torch.equal(a, b) for a, b in zip(first, again.predict(photo(), 3), strict=True))


def test_gradients_reach_places_and_both_encoders(ours):
    places = PLACES.clone().requires_grad_()
    image = ours.image_encoder.preprocess_image([photo(), photo(seed=1)])
    ours(image, places).sum().backward()
    assert places.grad.abs().max() > 0
    assert ours.image_encoder.mlp[0].weight.grad.abs().max() > 0
    assert all(weights.grad is None for weights in ours.image_encoder.CLIP.parameters())


def test_images_may_be_paths_bytes_or_pictures(ours, tmp_path):
    path = tmp_path / "a.png"
    photo().save(path)
    told = [ours.predict(item, 2)[1] for item in (path, str(path), path.read_bytes(), photo())]
    assert all(torch.equal(share, told[0]) for share in told)


def test_only_the_formats_of_geoloc_are_opened(ours, tmp_path):
    path = tmp_path / "a.png"
    photo().save(path, "PPM")
    for item in (path, path.read_bytes()):
        with pytest.raises(ImageError, match="not an image that can be read"):
            ours.predict(item, 2)


def test_turned_and_transparent_images_are_taken_as_released(ours, theirs, tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6
    photo((400, 230)).save(tmp_path / "turned.jpg", exif=turned, quality=95)
    clear = photo((230, 230)).convert("RGBA")
    clear.putalpha(60)
    clear.save(tmp_path / "clear.png")
    for name in ("turned.jpg", "clear.png"):
        same_prediction(ours, theirs, tmp_path / name)


def test_pixels_are_those_of_transformers_pillow_processor(ours):
    """Resize to 298 x 224, crop from (298 - 224) // 2 on, scale, normalise, written out."""
    image = photo((301, 226), seed=3)
    small = image.resize((298, 224), Image.Resampling.BICUBIC).crop((37, 0, 261, 224))
    mean = np.array([0.48145466, 0.4578275, 0.40821073])
    std = np.array([0.26862954, 0.26130258, 0.27577711])
    expected = ((np.asarray(small) / 255.0 - mean) / std).transpose(2, 0, 1)
    got = ours.image_encoder.preprocess_image(image)
    assert got.shape == (1, 3, 224, 224)
    assert np.abs(got[0].numpy() - expected).max() < 1e-5
    # 299 leaves an odd margin of 75, of which the left has 37.
    odd = photo((299, 224), seed=4)
    left = ours.image_encoder.preprocess_image(odd)[0]
    cut = ours.image_encoder.preprocess_image(odd.crop((37, 0, 261, 224)))[0]
    assert torch.equal(left, cut)


def test_the_queue_is_the_released_queue(ours, theirs):
    ours.queue_size = 7
    ours.gps_queue, ours.gps_queue_ptr = theirs.gps_queue.clone(), theirs.gps_queue_ptr.clone()
    for count in (3, 3, 4, 7, 2, 9, 1):
        batch = torch.randn(count, 2)
        for model in (ours, theirs):
            model.dequeue_and_enqueue(batch)
        assert torch.equal(ours.get_gps_queue(), theirs.get_gps_queue())
        assert torch.equal(ours.gps_queue_ptr, theirs.gps_queue_ptr)


def test_a_state_has_the_released_names_and_takes_theirs(ours, their_package, small_clip):
    mine = ours.state_dict()
    assert {name for name in mine if ".CLIP." not in name} == {
        *("logit_scale", "gps_queue", "gps_queue_ptr"),
        *(f"image_encoder.mlp.{layer}.{kind}" for layer in "02" for kind in ("weight", "bias")),
        *(f"location_encoder.{name}" for name in their_package.LocationEncoder().state_dict()),
    }
    theirs = {name: value for name, value in mine.items() if ".CLIP." not in name}
    theirs |= {
        f"image_encoder.CLIP.{name}": value
        for name, value in hugging_face(ours.image_encoder.CLIP.visual.state_dict()).items()
    }
    other = geoclip.GeoCLIP(from_pretrained=False, clip_path=small_clip)
    with torch.no_grad():
        for weights in other.parameters():
            weights.zero_()
    other.load_state_dict(theirs)
    got = other.state_dict()
    assert all(torch.equal(got[name], mine[name]) for name in mine)


def hugging_face(visual):
    """A visual tower's state under transformers' names, with a piece of a text tower."""
    start = "vision_model.encoder.layers.0."
    plain = {
        "class_embedding": "vision_model.embeddings.class_embedding",
        "conv1.weight": "vision_model.embeddings.patch_embedding.weight",
        "positional_embedding": "vision_model.embeddings.position_embedding.weight",
    }
    state = {"text_model.final_layer_norm.bias": torch.ones(3), "logit_scale": torch.ones(())}
    for name, value in visual.items():
        block = name.removeprefix("transformer.resblocks.0.")
        if name in plain:
            state[plain[name]] = value
        elif name == "proj":
            state["visual_projection.weight"] = value.T
        elif name.startswith(("ln_pre", "ln_post")):
            theirs = {"ln_pre": "pre_layrnorm", "ln_post": "post_layernorm"}
            layer, kind = name.split(".")
            state[f"vision_model.{theirs[layer]}.{kind}"] = value
        elif block.startswith("attn.in_proj"):
            for part, third in zip("qkv", value.chunk(3), strict=True):
                state[f"{start}self_attn.{part}_proj.{block[13:]}"] = third
        else:
            layers = {
                "attn.out_proj": "self_attn.out_proj",
                "ln_1": "layer_norm1",
                "ln_2": "layer_norm2",
                "mlp.c_fc": "mlp.fc1",
                "mlp.c_proj": "mlp.fc2",
            }
            layer, kind = block.rsplit(".", 1)
            state[f"{start}{layers[layer]}.{kind}"] = value
    return state


def test_copies_and_pickles_answer_alike(ours):
    share = ours.predict(photo(), 3)[1]
    buffer = io.BytesIO()
    torch.save(ours, buffer)
    buffer.seek(0)
    for other in (copy.deepcopy(ours), torch.load(buffer, weights_only=False)):
        assert torch.equal(other.predict(photo(), 3)[1], share)
        other.gps_gallery = PLACES[:3] + 1.0
        assert not torch.equal(other.predict(photo(), 3)[1], share)


def test_location_encoder_alone(their_package):
    mine, theirs = geoloc.LocationEncoder(), their_package.LocationEncoder()
    places = torch.rand(50, 2) * torch.tensor([170.0, 360.0]) - torch.tensor([85.0, 180.0])
    with torch.no_grad():
        torch.testing.assert_close(mine(places), theirs(places), rtol=1e-4, atol=1e-5)
    assert (mine.sigma, mine.n) == (theirs.sigma, theirs.n)
    assert list(mine.state_dict()) == list(theirs.state_dict())
    other = geoloc.LocationEncoder(sigma=[1.0, 4.0], from_pretrained=False)
    assert (other.n, other(places).shape) == (2, (50, 512))
    assert not next(other.parameters()).is_meta


@pytest.fixture
def release(ours, small_clip, tmp_path):
    """A folder as `GeoCLIP.from_pretrained` takes it, of two branches."""
    folder = tmp_path / "release"
    folder.mkdir()
    encoder = geoloc.LocationEncoder([2.0, 8.0], from_pretrained=False)
    weights = {f"location_encoder.{k}": v for k, v in encoder.state_dict().items()}
    head = ours.image_encoder.mlp.state_dict()
    weights |= {f"image_encoder.mlp.{k}": v for k, v in head.items()}
    weights["logit_scale"] = torch.tensor(1.5)
    save_file(weights, folder / "model.safetensors")
    (folder / "places.csv").write_text("LAT,LON\n1.5,2.5\n-3.5,4.5\n")
    config = {
        "model_type": "geoclip-geolocation",
        "format_version": 1,
        "sigma": [2.0, 8.0],
        "gallery_file": "places.csv",
        "backbone": {"repo_id": str(small_clip.parent), "revision": None},
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder, encoder, config


def test_a_release_is_read_whole(release):
    folder, encoder, _ = release
    model = geoclip.GeoCLIP.from_pretrained(folder)
    assert not model.training
    assert model.gps_gallery.tolist() == [[1.5, 2.5], [-3.5, 4.5]]
    assert model.logit_scale.item() == 1.5
    assert torch.equal(model.location_encoder(PLACES), encoder(PLACES))
    assert model.predict(photo(), 2)[0].shape == (2, 2)


def test_a_location_encoders_release(release):
    folder, encoder, config = release
    save_file(encoder.state_dict(), folder / "model.safetensors")
    config["model_type"] = "geoclip-location-encoder"
    (folder / "config.json").write_text(json.dumps(config))
    again = geoloc.LocationEncoder.from_pretrained(folder)
    assert again.sigma == [2.0, 8.0]
    assert torch.equal(again(PLACES), encoder(PLACES))


def test_what_is_no_release_is_refused(release, tmp_path):
    folder, _, config = release
    read = geoclip.GeoCLIP.from_pretrained
    with pytest.raises(CheckpointError, match="no such folder"):
        read(tmp_path / "gone")
    for change, words in [
        ({"gallery_file": "../places.csv"}, "inside the release"),
        ({"model_type": "geoclip-location-encoder"}, "no geoclip-geolocation"),
        ({"backbone": {}}, "names no backbone"),
        ({"sigma": [2.0]}, "do not fit"),
    ]:
        (folder / "config.json").write_text(json.dumps({**config, **change}))
        with pytest.raises(CheckpointError, match=words):
            read(folder)
    (folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"config\.json"):
        read(folder)


def test_without_a_network_one_line_says_what_to_do(monkeypatch, tmp_path):
    import huggingface_hub.constants as hub

    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(CheckpointError, match="go online once, or give the path") as caught:
        geoclip.GeoCLIP()
    assert "openai/clip-vit-large-patch14" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_questions_are_refused(ours, tmp_path):
    for top_k in (0, 7):
        with pytest.raises(ConfigError, match="between 1 and 6"):
            ours.predict(photo(), top_k)
    (tmp_path / "words.jpg").write_text("words")
    with pytest.raises(ImageError, match=r"words\.jpg"):
        ours.predict(tmp_path / "words.jpg", 1)
    with pytest.raises(ImageError, match="no such file"):
        ours.predict(tmp_path / "gone.jpg", 1)
    ours.gps_gallery = torch.tensor([[200.0, 0.0]])
    with pytest.raises(CoordinateError):
        ours.predict(photo(), 1)
    with pytest.raises(ValueError, match="clip_path"):
        geoloc.ImageEncoder(from_pretrained=False, clip_path="x")


def test_a_missing_package_says_what_to_install(monkeypatch):
    from geoloc.models import geoclip as weights

    monkeypatch.setattr(weights.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CheckpointError, match="pip install --no-deps geoclip"):
        geoclip.GeoCLIP()
