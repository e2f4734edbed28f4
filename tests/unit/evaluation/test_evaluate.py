from __future__ import annotations

import numpy as np
import pytest
import torch

from geoloc.errors import DataError
from geoloc.evaluation import evaluate_split, place_recall, score_predictions
from geoloc.geodesy import sample_sphere, unit_vectors
from geoloc.retrieval import Embedded, ExactIndex, Gallery, build_index


def encode(latlon_deg):
    return unit_vectors(latlon_deg).float()


def embed(places, *, label=None):
    return Embedded(
        key=tuple(f"{row:016d}" for row in range(len(places))),
        latlon_deg=places,
        embedding=encode(torch.from_numpy(places)),
        label=label or ({},) * len(places),
    )


@pytest.fixture
def gallery():
    places = sample_sphere(2000, generator=np.random.default_rng(0))
    return Gallery.build(places, encode, model_fingerprint="m", name="even")


def test_a_perfect_model_reaches_the_gallery_ceiling(gallery):
    split = embed(sample_sphere(300, generator=np.random.default_rng(1)))
    frame = evaluate_split(split, gallery, top_k=3)
    assert len(frame) == 300
    assert frame["key"].tolist() == list(split.key)
    scores = score_predictions(
        frame, "osv5m-clean", gallery_latlon_deg=gallery.latlon_deg, resamples=0
    )
    for key, best in scores.ceilings["gallery"].items():
        got = (scores.metrics | scores.summary)[key]
        assert got == pytest.approx(best, rel=1e-3), key


def test_top_lists_start_with_the_prediction_and_fall(gallery):
    frame = evaluate_split(embed(gallery.latlon_deg[:20].copy()), gallery, top_k=4)
    for row in frame.itertuples():
        assert (row.top_lat_deg[0], row.top_lon_deg[0]) == (row.pred_lat_deg, row.pred_lon_deg)
        assert row.top_score[0] == row.score
        assert (np.diff(row.top_score) <= 0).all()
        assert len(row.top_lat_deg) == len(row.top_lon_deg) == 4
    np.testing.assert_allclose(frame["score"], 1.0, atol=1e-6)


def test_labels_ride_along_and_missing_ones_are_null(gallery):
    label = ({"unique_country": "NA"}, {"unique_country": float("nan"), "city": "x"}, {})
    frame = evaluate_split(embed(gallery.latlon_deg[:3].copy(), label=label), gallery)
    assert [name for name in frame.columns if name.startswith("unique_")] == ["unique_country"]
    assert frame["unique_country"].isna().tolist() == [False, True, True]
    assert frame["unique_country"][0] == "NA"


def test_faiss_predicts_the_same_places(gallery):
    pytest.importorskip("faiss")
    split = embed(sample_sphere(200, generator=np.random.default_rng(2)))
    exact = evaluate_split(split, gallery, top_k=1)
    other = evaluate_split(
        split, gallery, top_k=1, index=build_index("faiss-flat", gallery.embedding)
    )
    np.testing.assert_array_equal(exact["pred_lat_deg"], other["pred_lat_deg"])


def test_an_index_of_another_gallery_is_refused(gallery):
    with pytest.raises(DataError, match="the index holds 7 places, the gallery 2000"):
        evaluate_split(
            embed(gallery.latlon_deg[:2].copy()),
            gallery,
            index=ExactIndex(gallery.embedding[:7]),
        )


def test_recall_merges_duplicate_places():
    places = sample_sphere(40, generator=np.random.default_rng(3))
    twice = np.concatenate([places, places])
    got = place_recall(embed(twice), encode, ks=(1, 5))
    assert got == {"recall@1": 1.0, "recall@5": 1.0, "places": 40.0}


def test_recall_of_a_model_that_knows_nothing_is_chance():
    places = sample_sphere(100, generator=np.random.default_rng(4))
    blind = torch.nn.functional.normalize(torch.ones(100, 3), dim=1)
    split = Embedded(
        key=tuple(map(str, range(100))), latlon_deg=places, embedding=blind, label=({},) * 100
    )
    got = place_recall(split, encode, ks=(1, 10, 100))
    assert (got["recall@1"], got["recall@10"], got["recall@100"]) == (0.01, 0.1, 1.0)


def test_columns_of_metadata_ride_along_for_strata(gallery):
    label = (
        {"climate": 7, "road_index": 0.5, "soil": None, "secret": 1},
        {"climate": None, "road_index": "n/a"},
        {},
    )
    frame = evaluate_split(embed(gallery.latlon_deg[:3].copy(), label=label), gallery)
    assert "secret" not in frame.columns
    assert "soil" not in frame.columns
    np.testing.assert_array_equal(frame["climate"], [7.0, np.nan, np.nan])
    assert frame["road_index"].tolist()[:2] == ["0.5", "n/a"]
    assert frame["road_index"].isna().tolist() == [False, False, True]
