from __future__ import annotations

import numpy as np

from geoloc.evaluation import PROTOCOLS, prediction_table, protocol_named
from geoloc.evaluation.row_measures import MeasuredRows
from geoloc.places import Gazetteer


def test_levels_equal_the_comparison_of_strings(world):
    table = prediction_table(world)
    gazetteer = Gazetteer.load()
    rows = MeasuredRows(table)
    for name in ("osv5m-official", "osv5m-clean"):
        protocol = protocol_named(name)
        told = rows.measures(protocol)
        guess = gazetteer.levels(gazetteer.nearest(table.pred_deg, metric=protocol.admin_metric))
        for level, names in guess.items():
            same = np.array([a == b for a, b in zip(table.label[level], names, strict=True)])
            np.testing.assert_array_equal(told[f"Accuracy_{level}"].value, same)


def test_each_look_up_is_made_once_and_distances_are_shared(world, monkeypatch):
    asked = []
    nearest = Gazetteer.nearest

    def counting(self, latlon_deg, *, metric):
        asked.append(metric)
        return nearest(self, latlon_deg, metric=metric)

    monkeypatch.setattr(Gazetteer, "nearest", counting)
    rows = MeasuredRows(prediction_table(world))
    for protocol in PROTOCOLS.values():
        rows.measures(protocol)
        rows.perfect(protocol)
    assert sorted(asked) == ["raw_degrees", "raw_degrees", "sphere", "sphere"]
    official, clean = (
        rows.distance_km(protocol_named(f"osv5m-{x}")) for x in ("official", "clean")
    )
    assert official is clean


def test_a_label_nobody_has_is_in_no_gallery(make_table):
    place = [[48.8566, 2.3522]] * 3
    rows = MeasuredRows(
        prediction_table(make_table(place, place, country=["FR", None, "Atlantis"]))
    )
    everywhere = np.asarray(Gazetteer.load().latlon_deg)
    for name, counted in (("osv5m-official", 3), ("osv5m-clean", 2)):
        told = rows.reachable_levels(everywhere, protocol_named(name))["Accuracy_country"]
        assert told.value.tolist() == [1.0, 0.0, 0.0]
        assert told.counted.sum() == counted
