from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from geoloc.evaluation.confusion import AT_SEA, country_confusion
from geoloc.places import Areas

PARIS, LYON, BERLIN, ROME = [48.85, 2.35], [45.76, 4.84], [52.52, 13.4], [41.9, 12.5]
ATLANTIC = [30.0, -40.0]


def test_a_planted_confusion_is_counted_by_country_and_direction():
    true = np.array([PARIS, LYON, PARIS, BERLIN, ATLANTIC])
    pred = np.array([LYON, BERLIN, ATLANTIC, PARIS, PARIS])
    found = country_confusion(true, pred, Areas.load())
    assert found.code == ("FR", "DE", AT_SEA)
    assert found.name == ("France", "Germany", "at sea")
    assert found.count.tolist() == [[1, 1, 1], [1, 0, 0], [0, 0, 0]]
    assert found.unplaced == 1
    assert found.shares()[0].tolist() == pytest.approx([1 / 3] * 3)
    assert not found.shares()[2].any()


def test_the_commonest_mistakes_come_first_and_right_answers_are_none():
    true = np.array([PARIS] * 3 + [ROME] * 4)
    pred = np.array([BERLIN, BERLIN, PARIS, ROME, ROME, ROME, PARIS])
    first, second = country_confusion(true, pred, Areas.load()).mistakes(5)
    assert (first.true, first.predicted, first.count) == ("FR", "DE", 2)
    assert first.share == pytest.approx(2 / 3)
    assert (second.true, second.predicted, second.count, second.share) == ("IT", "FR", 1, 0.25)


def test_counts_equal_a_loop_over_random_places():
    generator = np.random.default_rng(3)
    areas = Areas.load()
    land = areas.even_land_points(600)
    true, pred = land[generator.permutation(len(land))], land[generator.permutation(len(land))]
    found = country_confusion(true, pred, areas)
    where = areas.locate(true).country_code, areas.locate(pred).country_code
    naive = Counter((t, p or AT_SEA) for t, p in zip(*where, strict=True) if t)
    told = {(e["true"], e["predicted"]): e["count"] for e in found.to_json()["entries"]}
    assert told == naive
    totals = found.count.sum(axis=1)[:-1]
    assert (np.diff(totals) <= 0).all()


def test_places_in_no_country_are_not_confused():
    assert country_confusion(np.array([ATLANTIC]), np.array([PARIS]), Areas.load()) is None
