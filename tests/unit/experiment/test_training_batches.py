from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from geoloc.batch import GeoBatch
from geoloc.errors import MismatchError
from geoloc.experiment.build import rule_settings
from geoloc.experiment.loading import load_config
from geoloc.experiment.schema import NegativesSection
from geoloc.experiment.training_batches import (
    embedder,
    mining_settings,
    refit_settings,
    refuse_other_splits,
)
from geoloc.models import DualEncoder
from geoloc.negatives import FeatureBank, MiningSettings, RefitSettings, RuleSettings


def test_the_schema_and_the_rooms_below_have_the_same_defaults():
    section = NegativesSection()
    assert rule_settings(section) == RuleSettings()
    assert refit_settings(section) == RefitSettings()
    assert mining_settings(section) == MiningSettings()


@dataclass
class _Shards:
    name: str

    def fingerprint(self) -> str:
        return self.name.rpartition("/")[2]


def test_only_the_training_split_is_fitted_to(monkeypatch):
    monkeypatch.setattr("geoloc.experiment.training_batches.list_shards", _Shards)
    config = load_config("configs/demo.yaml")
    refuse_other_splits(config, "train")
    with pytest.raises(MismatchError, match="training split alone"):
        refuse_other_splits(config, "val")
    leaking = load_config("configs/demo.yaml", ["data.validation=elsewhere/train"])
    with pytest.raises(MismatchError, match="validation split is the training split"):
        refuse_other_splits(leaking, "train")
    testing = load_config("configs/demo.yaml", ["data.tests={easy: elsewhere/train}"])
    with pytest.raises(MismatchError, match="easy split is the training split"):
        refuse_other_splits(testing, "train")


class Doubling(DualEncoder):
    """Embeds by doubling, and says how often it was asked."""

    asked = 0

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)

    def train(self, mode: bool = True) -> Doubling:
        self.training = mode
        return self

    def embed_batch(self, batch: GeoBatch) -> torch.Tensor:
        assert not self.training
        self.asked += 1
        assert batch.feature is not None
        return 2.0 * batch.feature


def batch_of(*keys: str) -> GeoBatch:
    feature = torch.eye(4)[: len(keys)]
    return GeoBatch(
        key=keys, latlon_deg=torch.zeros(len(keys), 2, dtype=torch.float64), feature=feature
    )


def test_a_bank_is_asked_first_and_only_what_it_has_not_seen_is_embedded():
    model, bank = Doubling(), FeatureBank()
    embed = embedder(NegativesSection(features="bank"), model, "cpu", bank)
    assert torch.equal(embed(batch_of("a", "b")), 2.0 * torch.eye(4)[:2])
    assert model.asked == 1
    assert model.training, "as it was before"
    seen = torch.tensor([[0.0, 0.0, 0.0, 5.0], [0.0, 0.0, 3.0, 0.0]])
    bank.put(("a", "b"), torch.zeros(2, 2, dtype=torch.float64), seen)
    assert torch.equal(embed(batch_of("b", "a")), torch.eye(4)[[2, 3]])
    assert model.asked == 1
    mixed = embed(batch_of("b", "c"))
    assert torch.equal(mixed, torch.stack([torch.eye(4)[2], 2.0 * torch.eye(4)[1]]))


def test_frozen_features_are_those_of_the_cache():
    embed = embedder(NegativesSection(features="frozen"), Doubling(), "cpu")
    assert torch.equal(embed(batch_of("a", "b")), torch.eye(4)[:2])
