"""What a coarse service tells does not add up to more, however often it is asked."""

import numpy as np
import pytest

from geoloc.geodesy import great_circle_km
from geoloc.inference.service.asking import Asking, ImageQuestion
from geoloc.inference.service.options import AnswerOptions

COARSE_KM = 1500.0


@pytest.fixture
def ask(geolocator, png):
    """`ask(apart_km)`: the answer of a coarse service to one image."""
    asking = Asking(lambda: geolocator, coarse_km=COARSE_KM, megapixels=50.0)
    asking.open()
    image = asking.prepare(png(3), "a.png")

    def run(apart_km):
        options = AnswerOptions(top_k=7, apart_km=apart_km, heat=True)
        ((answer,),) = asking.answer([ImageQuestion(images=(image,), options=options)])
        return answer

    return run


def test_distances_between_places_cannot_be_had_by_asking_again(ask, places_deg):
    distances_km = great_circle_km(places_deg[:, None], places_deg[None])
    told = {}
    # just below and just above every distance between two places, and the whole range
    for km in sorted({*np.ravel(distances_km), *np.linspace(0.0, 20_000.0, 30)}):
        for apart_km in (max(0.0, km - 1e-3), km + 1e-3):
            cells = max(1, int(np.ceil(apart_km / COARSE_KM)))
            told.setdefault(cells, []).append(ask(apart_km))
    assert len(told) > 10
    for cells, answers in told.items():
        assert answers[0]["apart_km"] == cells * COARSE_KM
        assert all(answer == answers[0] for answer in answers)
    assert len({len(answers[0]["places"]) for answers in told.values()}) > 1


def test_heat_of_a_coarse_service_is_coarse(ask):
    heat = ask(None)["heat"]
    assert np.deg2rad(heat["cell_deg"]) * 6371.0 >= COARSE_KM
    assert sum(share for _, _, share in heat["cells"]) == pytest.approx(1.0, abs=0.02)
