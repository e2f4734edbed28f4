from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from softmax_worlds import softmax_world, unit_rows

from geoloc.errors import DataError, MismatchError
from geoloc.evaluation.answered import (
    AT_SEA,
    answer_split,
    continents,
    refuse_shared_samples,
    split_fingerprint,
)
from geoloc.evaluation.calibration_file import FILE, Calibration
from geoloc.evaluation.conformal import ConformalRadius
from geoloc.evaluation.coverage import measure_coverage
from geoloc.evaluation.mass_profile import MassProfile
from geoloc.geodesy import great_circle_km, sample_sphere
from geoloc.retrieval import Embedded, Gallery


@pytest.fixture
def gallery():
    rows = unit_rows(50, 8, seed=0)
    places = sample_sphere(50, generator=np.random.default_rng(0))
    return Gallery.build(places, lambda _: rows, model_fingerprint="m" * 64, name="fifty")


def _embedded(count, *, seed=1, prefix="a"):
    return Embedded(
        key=tuple(f"{prefix}{row}" for row in range(count)),
        latlon_deg=sample_sphere(count, generator=np.random.default_rng(seed)),
        embedding=unit_rows(count, 8, seed=seed),
        label=({},) * count,
    )


def _calibration(gallery):
    radius = ConformalRadius(
        score="constant", levels=(0.5, 0.9), thresholds={"all": (10.0, 340.0)}, counts={"all": 99}
    )
    return Calibration(
        scale=21.5,
        radius=radius,
        level=0.9,
        model_fingerprint=gallery.model_fingerprint,
        places_fingerprint=gallery.places_fingerprint,
        gallery=gallery.name,
        familiar_score=0.375,
        measured={"temperature": {"temperature": 0.7}},
    )


def test_it_comes_back_as_it_was_written(gallery, tmp_path):
    calibration = _calibration(gallery)
    calibration.save(tmp_path)
    assert Calibration.load(tmp_path) == calibration
    calibration.refuse_another(gallery)


def test_a_file_of_before_scores_were_kept_is_read(gallery, tmp_path):
    _calibration(gallery).save(tmp_path)
    told = json.loads((tmp_path / FILE).read_text())
    del told["familiar_score"]
    (tmp_path / FILE).write_text(json.dumps(told))
    assert Calibration.load(tmp_path).familiar_score is None


def test_another_model_and_other_places_are_refused(gallery):
    calibration = _calibration(gallery)
    with pytest.raises(MismatchError, match="of model mmm"):
        calibration.refuse_another(replace(gallery, model_fingerprint="n" * 64))
    with pytest.raises(MismatchError, match="of places"):
        calibration.refuse_another(replace(gallery, places_fingerprint="n" * 64))


@pytest.mark.parametrize(
    "damage",
    [{"schema_version": 9}, {"scale": -1.0}, {"level": 0.7}, {"radius": {}}, {"radius": 3}],
)
def test_damage_is_refused(gallery, tmp_path, damage):
    _calibration(gallery).save(tmp_path)
    told = json.loads((tmp_path / FILE).read_text())
    (tmp_path / FILE).write_text(json.dumps({**told, **damage}))
    with pytest.raises(DataError):
        Calibration.load(tmp_path)


def test_answers_are_the_gallerys_best_and_nearest_places(gallery):
    embedded = _embedded(20)
    split = answer_split(embedded, gallery)
    cosine = embedded.embedding @ gallery.embedding.T
    np.testing.assert_array_equal(split.answer_deg, gallery.latlon_deg[cosine.argmax(1).numpy()])
    km = great_circle_km(embedded.latlon_deg[:, None], gallery.latlon_deg[None])
    np.testing.assert_array_equal(split.nearest_deg, gallery.latlon_deg[km.argmin(1)])
    np.testing.assert_allclose(split.best_score, cosine.amax(1).numpy(), rtol=1e-6)
    assert split.reach(1500.0) == pytest.approx((km.min(1) <= 1500.0).mean())


def test_samples_fitted_on_are_no_test():
    one = _embedded(20)
    refuse_shared_samples(one, _embedded(20, prefix="b"), fitted_on="val", name="test")
    # of the same key but elsewhere: another data set that counts from 0 too
    refuse_shared_samples(one, _embedded(20, seed=2), fitted_on="val", name="test")
    with pytest.raises(DataError, match="5 of the 5 samples of test are in val too"):
        refuse_shared_samples(one, _part(one, slice(3, 8)), fitted_on="val", name="test")


def _part(embedded, rows):
    rows = np.arange(len(embedded))[rows]
    return Embedded(
        key=tuple(embedded.key[row] for row in rows),
        latlon_deg=embedded.latlon_deg[rows],
        embedding=embedded.embedding[rows.copy()],
        label=({},) * len(rows),
    )


def test_a_splits_fingerprint_is_that_of_its_samples_in_any_order():
    one = _embedded(20)
    backwards = _part(one, slice(None, None, -1))
    assert split_fingerprint(one) == split_fingerprint(backwards)
    assert split_fingerprint(one) != split_fingerprint(_part(one, slice(0, 19)))
    assert split_fingerprint(one) != split_fingerprint(_embedded(20, seed=2))


def test_continents():
    places = np.array([[48.9, 2.35], [-33.9, 18.4], [0.0, -30.0], [-25.0, 133.0]])
    assert continents(places).tolist() == ["EU", "AF", AT_SEA, "OC"]


def test_coverage_counts_all_images_and_every_continent_twice():
    split = softmax_world(600, 300, scale=12.0, jitter_deg=1.0)
    profile = MassProfile.around(
        split.query, split.answer_deg, split.place, split.gallery_deg, scale=12.0
    )
    radius = ConformalRadius.fit("mass", profile, split.distance_km, levels=[0.9])
    lines = measure_coverage(radius, split, profile, resamples=100)
    every = lines[0]
    radius_km = radius.radius_km(profile, 0.9)
    held = split.distance_km <= radius_km
    assert (every.group, every.by, every.count) == ("all", None, 600)
    assert every.covered == held.mean() == pytest.approx(0.9, abs=0.005)
    assert every.covered_interval[0] < 0.9 < every.covered_interval[1]
    assert (every.median_km, every.mean_km) == (np.median(radius_km), radius_km.mean())
    by_truth = {line.group: line for line in lines if line.by == "truth"}
    asia = continents(split.true_deg) == "AS"
    assert by_truth["AS"].covered == held[asia].mean()
    assert by_truth["AS"].count == asia.sum()
    assert sum(line.count for line in lines if line.by == "answer") <= 600
