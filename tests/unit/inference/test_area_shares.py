from __future__ import annotations

import numpy as np
import pytest
import torch

from geoloc.inference.area_shares import MOST, AreaShares
from geoloc.places import Areas

# Paris, Lyon, Cape Town, mid Atlantic, Windhoek.
PLACES = np.array([[48.86, 2.35], [45.76, 4.84], [-33.92, 18.5], [0.0, -30.0], [-22.56, 17.07]])


def test_shares_are_sums_over_the_places_of_each_area() -> None:
    probability = torch.tensor([[0.3, 0.25, 0.2, 0.15, 0.1], [0.0, 0.0, 0.0, 1.0, 0.0]])
    (first, regions), (at_sea, no_region) = AreaShares.of(PLACES).shares(probability)
    told = [(area.code, area.name) for area in first]
    assert told == [("FR", "France"), ("ZA", "South Africa"), (None, "at sea"), ("NA", "Namibia")]
    assert [area.probability for area in first] == pytest.approx([0.55, 0.2, 0.15, 0.1])
    assert all(area.country_code is None for area in first)
    assert [area.country_code for area in regions] == ["FR", "FR", "ZA", None, "NA"]
    assert [area.probability for area in regions] == pytest.approx([0.3, 0.25, 0.2, 0.15, 0.1])
    located = Areas.load().locate(PLACES[:1])
    assert (regions[0].code, regions[0].name) == (located.region_code[0], located.region[0])
    assert [(area.code, area.probability) for area in at_sea] == [(None, 1.0)]
    assert [area.name for area in no_region] == ["at sea"]


def test_countries_add_up_to_the_look_up_of_every_place() -> None:
    places_deg = Areas.load().even_land_points(400)
    probability = np.random.default_rng(0).dirichlet(np.full(len(places_deg), 0.05))
    ((countries, regions),) = AreaShares.of(places_deg).shares(
        torch.tensor(probability[None], dtype=torch.float32)
    )
    code = Areas.load().locate(places_deg).country_code
    naive = {each: probability[code == each].sum() for each in {*code}}
    assert len(countries) == MOST
    assert len(regions) == MOST
    assert [area.probability for area in countries] == sorted(
        (area.probability for area in countries), reverse=True
    )
    for area in countries:
        assert area.probability == pytest.approx(naive[area.code], abs=1e-6)
    assert countries[-1].probability >= sorted(naive.values())[-MOST] - 1e-6


def test_areas_are_kept_and_a_folder_that_cannot_be_written_costs_nothing(tmp_path) -> None:
    first = AreaShares.of(PLACES, tmp_path / "kept")
    (file,) = (tmp_path / "kept").glob("areas-*.safetensors")
    assert torch.equal(AreaShares.of(PLACES, tmp_path / "kept").area, first.area)
    assert [*(tmp_path / "kept").iterdir()] == [file]
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    assert torch.equal(AreaShares.of(PLACES, blocked / "kept").area, first.area)
