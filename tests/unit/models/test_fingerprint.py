from __future__ import annotations

import torch

from geoloc.models.fingerprint import Stamp, fingerprint_tensors


def test_order_and_layout_do_not_matter_and_anything_else_does():
    a, b = torch.arange(6.0).reshape(2, 3), torch.tensor(3)
    base = fingerprint_tensors({"a": a, "b": b})
    assert len(base) == 64
    assert fingerprint_tensors({"b": b, "a": a}) == base
    assert fingerprint_tensors({"a": a.T.contiguous().T, "b": b}) == base
    different = [
        {"a": a, "c": b},
        {"a": a.reshape(3, 2), "b": b},
        {"a": a.double(), "b": b},
        {"a": a.flip(0), "b": b},
        {"a": a},
        {"a": a, "b": b, "c": torch.empty(0)},
    ]
    prints = {fingerprint_tensors(tensors) for tensors in different}
    prints |= {fingerprint_tensors({"a": a, "b": b}, label="x"), base}
    assert len(prints) == len(different) + 2


def test_halves_and_single_numbers_can_be_hashed():
    tensors = {"h": torch.ones(3, dtype=torch.bfloat16), "n": torch.tensor(2.0), "e": torch.ones(0)}
    assert fingerprint_tensors(tensors) == fingerprint_tensors(dict(reversed(tensors.items())))


def test_a_stamp_sees_whatever_torch_counts():
    module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    changes = [
        lambda: torch.nn.init.zeros_(module[0].weight),
        lambda: module.load_state_dict(module.state_dict()),
        lambda: module.double(),
        lambda: setattr(module[0], "bias", torch.nn.Parameter(torch.zeros(2).double())),
        lambda: module(torch.randn(3, 2).double()),
        lambda: module.append(torch.nn.Linear(2, 2)),
    ]
    for change in changes:
        stamp = Stamp.of(module)
        assert stamp.holds_for(module)
        change()
        assert not stamp.holds_for(module)
    with torch.inference_mode():
        made_there = torch.nn.Linear(2, 2)
    assert Stamp.of(made_there).holds_for(made_there)
