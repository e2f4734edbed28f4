from __future__ import annotations

import logging
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from geoloc.errors import MismatchError
from geoloc.evaluation.calibration_file import FILE, Calibration
from geoloc.evaluation.conformal import ALL, ConformalRadius
from geoloc.geodesy import great_circle_km
from geoloc.inference import Geolocator
from geoloc.inference.answering import Query
from geoloc.inference.resolution import median_spacing_km

FOLDER = ("calibration", "seven")


def _calibration(gallery, *, scale=3.0, threshold=0.6):
    radius = ConformalRadius(
        score="mass",
        levels=(0.9,),
        thresholds={ALL: (threshold,)},
        counts={ALL: 500},
    )
    return Calibration(
        scale=scale,
        radius=radius,
        level=0.9,
        model_fingerprint=gallery.model_fingerprint,
        places_fingerprint=gallery.places_fingerprint,
        gallery=gallery.name,
    )


def test_a_calibrated_run_has_its_own_probabilities_and_radius(run, photo, gallery_of, model):
    plain = Geolocator.load(run, decoding="argmax").locate(photo(), 7)
    assert [(r.level, r.calibrated) for r in plain.radii] == [(0.5, False), (0.9, False)]
    assert not plain.basis.calibrated
    gallery = gallery_of(model)
    _calibration(gallery).save(run.joinpath(*FOLDER))
    told = Geolocator.load(run).locate(photo(), 7)

    cosine = torch.tensor([place.score for place in told.places], dtype=torch.float64)
    expected = torch.softmax(3.0 * cosine, dim=0)
    assert [place.probability for place in told.places] == pytest.approx(
        expected.tolist(), rel=1e-4
    )
    assert [p.latlon_deg for p in told.places] == [p.latlon_deg for p in plain.places]
    (radius,) = told.radii
    assert (radius.level, radius.calibrated, told.basis.calibrated) == (0.9, True, True)

    # The radius ends in the ring in which the mass within it passes 0.6.
    places_deg = np.array([place.latlon_deg for place in told.places])
    away_km = great_circle_km(places_deg[:1], places_deg)
    order = np.argsort(away_km)
    reached = np.cumsum(expected.numpy()[order])
    passed_km = away_km[order][np.searchsorted(reached, 0.6)]
    assert radius.km == pytest.approx(passed_km, rel=0.08)


def test_words_are_answered_without_the_calibration_and_say_so(geolocator):
    calibration = replace(_calibration(geolocator.gallery), familiar_score=2.0)
    sure = Geolocator(geolocator.model, geolocator.gallery, calibration=calibration)
    query = geolocator.gallery.embedding[:1]
    told = [
        sure.stages.answerer.answers(
            [Query(name="q")], query, sure.stages.detail(), photographs=photographs
        )[0]
        for photographs in (True, False)
    ]
    assert [answer.basis.calibrated for answer in told] == [True, False]
    assert ["unfamiliar" in answer.doubts for answer in told] == [True, False]
    assert [answer.radii[0].calibrated for answer in told] == [True, False]


def test_no_radius_is_finer_than_the_gallery(geolocator, photo):
    calibration = _calibration(geolocator.gallery, threshold=1e-6)
    sure = Geolocator(geolocator.model, geolocator.gallery, calibration=calibration)
    spacing_km = median_spacing_km(geolocator.gallery.latlon_deg)
    assert sure.locate(photo()).radii[0].km == spacing_km > 1000.0


def test_an_infinite_threshold_is_half_the_earth(geolocator, photo):
    calibration = _calibration(geolocator.gallery, threshold=math.inf)
    sure = Geolocator(geolocator.model, geolocator.gallery, calibration=calibration)
    assert sure.locate(photo()).radii[0].km == pytest.approx(math.pi * 6371.0)


def test_an_image_that_fits_worse_than_all_known_ones_is_unfamiliar(geolocator, photo):
    best = geolocator.locate(photo(), 1).places[0].score
    for known, expected in ((best - 1e-3, False), (best + 1e-3, True), (None, False)):
        calibration = replace(_calibration(geolocator.gallery), familiar_score=known)
        sure = Geolocator(geolocator.model, geolocator.gallery, calibration=calibration)
        assert ("unfamiliar" in sure.locate(photo()).doubts) is expected
        # Several images together have scores of another kind.
        assert "unfamiliar" not in sure.locate_together([photo(), photo()]).doubts


@pytest.mark.parametrize("other", ["model_fingerprint", "places_fingerprint"])
def test_a_calibration_of_another_is_refused_in_hand_and_passed_over_in_a_run(
    run, photo, gallery_of, model, other, caplog
):
    gallery = gallery_of(model)
    foreign = replace(_calibration(gallery), **{other: "f" * 64})
    with pytest.raises(MismatchError, match="geoloc calibrate again"):
        Geolocator(model, gallery, calibration=foreign)
    foreign.save(run.joinpath(*FOLDER))
    with caplog.at_level(logging.WARNING):
        geolocator = Geolocator.load(run)
    assert not geolocator.locate(photo()).radii[0].calibrated
    (message,) = caplog.messages
    assert message.startswith("answers are not calibrated: the calibration is of")


def test_a_damaged_calibration_is_passed_over_with_a_word(run, photo, caplog):
    folder = run.joinpath(*FOLDER)
    folder.mkdir(parents=True)
    (folder / FILE).write_text("{")
    assert not Geolocator.load(run).locate(photo()).radii[0].calibrated
    assert "damaged" in caplog.text
