from __future__ import annotations

import torch
from torch.nn import functional

from geoloc.losses import contrastive_loss
from geoloc.negatives import all_negatives, observe


def test_all_is_plain_cross_entropy_over_batch_and_queue():
    generator = torch.Generator().manual_seed(0)
    latlon_deg = torch.rand(9, 2, generator=generator, dtype=torch.float64) * 60
    own = torch.eye(6, 9, dtype=torch.bool)
    flags = all_negatives(observe(latlon_deg[:6], latlon_deg, own))
    flags.check()
    logits = 14.0 * torch.randn(6, 9, generator=generator, dtype=torch.float64)
    expected = functional.cross_entropy(logits, torch.arange(6))
    assert abs(float(contrastive_loss(logits, flags) - expected)) < 1e-6


def test_another_image_of_the_same_place_stays_a_negative():
    same = torch.tensor([[10.0, 20.0], [10.0, 20.0]], dtype=torch.float64)
    evidence = observe(same, same, torch.eye(2, dtype=torch.bool))
    assert float(evidence.lag_km.max()) == 0.0
    flags = all_negatives(evidence)
    assert torch.equal(flags.positive, torch.eye(2, dtype=torch.bool))
    assert torch.equal(flags.negative, ~torch.eye(2, dtype=torch.bool))
    assert torch.equal(flags.weight, torch.ones(2, 2))
