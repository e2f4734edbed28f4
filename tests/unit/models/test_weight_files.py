from __future__ import annotations

import os

import pytest
import torch
from safetensors.torch import save_file

from geoloc.errors import CheckpointError
from geoloc.models.weight_files import is_file_reference, load_strict, read_scalar, read_tensors


class Malicious:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (os.mkdir, (str(self.marker),))


def test_torch_and_safetensors_files_give_the_same(tmp_path):
    state = {"a": torch.arange(3.0), "b": torch.tensor([[1, 2]])}
    torch.save(state, tmp_path / "plain.pth")
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "wrapped.pt")
    save_file(state, tmp_path / "safe.safetensors")
    for name in ("plain.pth", "wrapped.pt", "safe.safetensors"):
        read = read_tensors(tmp_path / name)
        assert set(read) == {"a", "b"}
        assert all(torch.equal(read[key], state[key]) for key in state)


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path):
    marker = tmp_path / "executed"
    torch.save({"a": torch.ones(1), "b": Malicious(marker)}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointError, match="could run code"):
        read_tensors(tmp_path / "evil.pth")
    assert not marker.exists()


def test_torchscript_is_refused(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "script.pt", "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("script/constants.pkl", b"\x80\x02).")
        archive.writestr("script/data.pkl", b"\x80\x02).")
        archive.writestr("script/version", b"3\n")
        archive.writestr("script/code/__torch__.py", b"")
    with pytest.raises(CheckpointError, match="TorchScript"):
        read_tensors(tmp_path / "script.pt")


@pytest.mark.parametrize("name", ["damaged.pth", "damaged.safetensors", "empty.pth", "gone.pth"])
def test_damaged_and_missing_files_are_named(tmp_path, name):
    if name.startswith("damaged"):
        (tmp_path / name).write_bytes(b"\x00\x01 no weights here" * 30)
    if name.startswith("empty"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(CheckpointError, match=name):
        read_tensors(tmp_path / name)


def test_truncated_files_are_refused(tmp_path):
    state = {"a": torch.randn(1000, generator=torch.Generator().manual_seed(0))}
    torch.save(state, tmp_path / "whole.pth")
    save_file(state, tmp_path / "whole.safetensors")
    for suffix in ("pth", "safetensors"):
        data = (tmp_path / f"whole.{suffix}").read_bytes()
        (tmp_path / f"cut.{suffix}").write_bytes(data[: len(data) // 2])
        with pytest.raises(CheckpointError, match="cut"):
            read_tensors(tmp_path / f"cut.{suffix}")


@pytest.mark.parametrize("content", [[torch.ones(1)], {"a": 3}, torch.ones(2)])
def test_anything_but_named_tensors_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "odd.pth")
    with pytest.raises(CheckpointError, match="expected names"):
        read_tensors(tmp_path / "odd.pth")


def test_scalars(tmp_path):
    torch.save(torch.tensor(3.5), tmp_path / "bare.pth")
    torch.save({"logit_scale": torch.tensor([3.5])}, tmp_path / "named.pth")
    torch.save(torch.ones(2), tmp_path / "two.pth")
    assert read_scalar(tmp_path / "bare.pth").item() == 3.5
    assert read_scalar(tmp_path / "named.pth").shape == ()
    with pytest.raises(CheckpointError, match="single number"):
        read_scalar(tmp_path / "two.pth")


def test_tags_and_files_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "openai").write_text("a file that happens to be called like a tag")
    for tag in ("openai", "imagenet", "laion2b_s32b_b82k", "package:efficientnet-lite0"):
        assert not is_file_reference(tag)
    for file in ("a.pth", "./a", "folder/weights", "/abs/x.safetensors", "m.bin"):
        assert is_file_reference(file)


def test_strict_loading_tells_every_kind_of_fault_and_changes_nothing():
    module = torch.nn.Linear(2, 2)
    before = module.weight.detach().clone()
    faults = {
        "missing bias": {"weight": torch.ones(2, 2)},
        "left over extra": {**module.state_dict(), "extra": torch.ones(1)},
        r"weight is \(3, 2\), not \(2, 2\)": {**module.state_dict(), "weight": torch.ones(3, 2)},
    }
    for words, state in faults.items():
        with pytest.raises(CheckpointError, match=words):
            load_strict(module, state, source="file")
    assert torch.equal(module.weight, before)


def test_strict_loading_without_a_part():
    module = torch.nn.ModuleDict({"old": torch.nn.Linear(1, 1), "new": torch.nn.Linear(1, 1)})
    kept = module["old"].weight.detach().clone()
    load_strict(
        module,
        {"new.weight": torch.ones(1, 1), "new.bias": torch.ones(1)},
        source="",
        without="old.",
    )
    assert module["new"].weight.item() == 1
    assert torch.equal(module["old"].weight, kept)
    with pytest.raises(CheckpointError, match=r"left over old\.weight"):
        load_strict(module, module.state_dict(), source="", without="old.")


def test_assigned_tensors_make_an_empty_module_real_in_its_own_dtype(tmp_path):
    with torch.device("meta"):
        module = torch.nn.Linear(2, 3)
    state = {"weight": torch.arange(6.0).reshape(3, 2).half(), "bias": torch.ones(3)}
    load_strict(module, state, source="here", assign=True)
    assert module.weight.dtype == torch.float32
    assert module.weight.tolist() == state["weight"].tolist()
    assert module.bias.data_ptr() == state["bias"].data_ptr()


def test_writing_to_what_was_read_leaves_the_file(tmp_path):
    save_file({"a": torch.ones(5)}, tmp_path / "a.safetensors")
    read_tensors(tmp_path / "a.safetensors")["a"].zero_()
    assert read_tensors(tmp_path / "a.safetensors")["a"].tolist() == [1.0] * 5
