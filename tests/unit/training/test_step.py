from __future__ import annotations

import pytest
import torch
from torch.nn import functional
from training_worlds import ImageStream, tiny_model

from geoloc.geodesy import great_circle_km
from geoloc.losses import contrastive_loss
from geoloc.negatives import (
    BatchAndQueue,
    Candidates,
    EpochExpectation,
    Judgement,
    PlaceQueue,
    all_negatives,
)
from geoloc.pairs import PairEvidence, PairFlags
from geoloc.training import Objective, PairTiling, contrastive_step, step_generator
from geoloc.training.pair_tiles import pair_logits
from geoloc.training.step import noised_places


def noise(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def filled_source() -> BatchAndQueue:
    source = BatchAndQueue(PlaceQueue(10))
    source.update(ImageStream().batch(5, 0))
    return source


def test_the_loss_is_cross_entropy_of_scaled_cosines_over_batch_and_queue():
    model, batch, source = tiny_model().eval(), ImageStream().batch(0, 0), filled_source()
    objective = Objective(source=source, batch_noise_m=0.0, queue_noise_m=0.0)
    outcome = contrastive_step(model, batch, objective, generator=noise())
    places = source.candidates(batch).latlon_deg
    assert places.shape == (14, 2)
    logits = model.scale() * model.embed_batch(batch) @ model.embed_places(places).T
    expected = functional.cross_entropy(logits, torch.arange(7))
    assert outcome.loss.item() == pytest.approx(expected.item(), abs=1e-5)
    top1 = float((logits.argmax(dim=1) == torch.arange(7)).float().mean())
    assert float(outcome.values["top1_of_candidates"]) == pytest.approx(top1)


def test_the_symmetric_loss_adds_place_to_image_within_the_batch():
    model, batch, source = tiny_model().eval(), ImageStream().batch(0, 0), filled_source()
    objective = Objective(
        source=source,
        tiling=PairTiling(loss=contrastive_loss, both_ways=True),
        batch_noise_m=0.0,
        queue_noise_m=0.0,
    )
    outcome = contrastive_step(model, batch, objective, generator=noise())
    places = model.embed_places(source.candidates(batch).latlon_deg)
    logits, target = model.scale() * model.embed_batch(batch) @ places.T, torch.arange(7)
    forth = functional.cross_entropy(logits, target)
    back = functional.cross_entropy(logits[:, :7].T, target)
    assert outcome.loss.item() == pytest.approx(((forth + back) / 2).item(), abs=1e-5)


def test_noise_is_metres_on_batch_and_queue_at_every_latitude():
    count = 4000
    latlon = torch.tensor([[75.0, 179.9999]], dtype=torch.float64).repeat(2 * count, 1)
    candidates = Candidates(batch_places=count, latlon_deg=latlon, own_column=torch.arange(count))
    moved = noised_places(candidates, Objective(source=BatchAndQueue()), noise(1))
    moved_m = great_circle_km(latlon, moved) * 1000.0
    # The mean square distance of isotropic noise is twice the variance of one axis.
    assert float(moved_m[:count].square().mean().sqrt()) == pytest.approx(150 * 2**0.5, rel=0.05)
    assert float(moved_m[count:].square().mean().sqrt()) == pytest.approx(1000 * 2**0.5, rel=0.05)


def test_evidence_is_measured_on_clean_places_whatever_the_noise():
    seen: list[PairEvidence] = []

    def spy(evidence: PairEvidence) -> PairFlags:
        seen.append(evidence)
        return all_negatives(evidence)

    model, batch = tiny_model(), ImageStream().batch(0, 0)
    objective = Objective(source=filled_source(), rule=spy, batch_noise_m=1e5, queue_noise_m=1e6)
    contrastive_step(model, batch, objective, generator=noise())
    assert torch.equal(seen[0].lag_km.diagonal(), torch.zeros(7, dtype=torch.float64))


class ThousandKmALevel:
    sill, effective_range_km, has_structure = 1.0, 1000.0, True

    def judge(self, query_latlon_deg, lag_km, observed):
        del query_latlon_deg, observed
        return Judgement(expected=lag_km / 1000.0, score=lag_km, spread=lag_km)


def test_the_rule_and_the_expectation_decide_what_the_loss_sees():
    def far_only(evidence: PairEvidence) -> PairFlags:
        assert evidence.expected is not None
        far = evidence.expected > 5.0
        return PairFlags(
            positive=evidence.own, negative=far & ~evidence.own, weight=torch.ones(far.shape)
        )

    model, batch, source = tiny_model().eval(), ImageStream().batch(0, 0), filled_source()
    expectation = EpochExpectation()
    expectation.current = ThousandKmALevel()
    objective = Objective(
        source=source, rule=far_only, expectation=expectation,
        batch_noise_m=0.0, queue_noise_m=0.0,
    )  # fmt: skip
    outcome = contrastive_step(model, batch, objective, generator=noise())
    places = source.candidates(batch).latlon_deg
    lag_km = great_circle_km(batch.latlon_deg[:, None], places[None])
    logits = model.scale() * model.embed_batch(batch) @ model.embed_places(places).T
    kept = (lag_km > 5000) | torch.eye(7, 14, dtype=torch.bool)
    expected = functional.cross_entropy(logits.masked_fill(~kept, -1e9), torch.arange(7))
    assert 0 < int(kept.sum()) < kept.numel()
    assert outcome.loss.item() == pytest.approx(expected.item(), abs=1e-5)


def test_gradients_reach_images_batch_places_queue_places_and_temperature():
    model, batch = tiny_model(), ImageStream().batch(0, 0)
    contrastive_step(
        model, batch, Objective(source=filled_source()), generator=noise()
    ).loss.backward()
    without = [
        name
        for name, p in model.named_parameters()
        if p.requires_grad and (p.grad is None or not p.grad.any())
    ]
    assert without == []


def test_equal_generators_give_equal_losses_and_others_do_not():
    model, batch = tiny_model().eval(), ImageStream().batch(0, 0)
    objective = Objective(source=filled_source(), batch_noise_m=50_000.0)
    losses = [
        contrastive_step(model, batch, objective, generator=g).loss.item()
        for g in (step_generator(1, 2, "noise"), step_generator(1, 2, "noise"), noise(9))
    ]
    assert losses[0] == losses[1] != losses[2]


def test_logits_stay_float32_under_autocast():
    image = functional.normalize(torch.randn(4, 64, generator=noise()), dim=1)
    with torch.autocast("cpu", torch.bfloat16):
        logits = pair_logits(image, image, torch.tensor(100.0))
    assert logits.dtype == torch.float32
    assert torch.allclose(logits.diagonal(), torch.full((4,), 100.0), atol=1e-3)
