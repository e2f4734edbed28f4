from __future__ import annotations

import json

import numpy as np
import pytest

from geoloc.errors import ConfigError, CoordinateError, DataError
from geoloc.evaluation.gallery_audit import audit_gallery
from geoloc.evaluation.gallery_audit_text import audit_markdown, audit_text, named_countries
from geoloc.geodesy import geodesic_km, great_circle_km, sample_sphere
from geoloc.models.geoclip import gallery_places
from geoloc.places import Areas, Gazetteer

PARIS, LYON, ABUJA, KANO = [48.86, 2.35], [45.76, 4.84], [9.06, 7.49], [12.0, 8.52]


def audited(gallery, against, **more):
    return audit_gallery(
        np.array(gallery, dtype=np.float64),
        np.array(against, dtype=np.float64),
        gallery="g",
        against="a",
        **more,
    )


def test_against_naive_loops():
    generator = np.random.default_rng(0)
    land = Areas.load().even_land_points(400)
    gallery = land[generator.choice(len(land), 60)] + 0.001
    places = sample_sphere(150, generator=generator)
    audit, drawn = audited(gallery, places)
    code = Areas.load().locate(places).country_code
    apart = [great_circle_km(place, gallery).tolist() for place in places]
    gaps = [min(row) for row in apart]
    np.testing.assert_allclose(drawn.gap_km, gaps, rtol=1e-9)
    assert audit.gap.median_km == pytest.approx(np.median(gaps))
    assert audit.gap.p90_km == pytest.approx(np.quantile(gaps, 0.9))
    assert audit.gap.worst_km == pytest.approx(max(gaps))
    for country in audit.countries:
        own = [gap for gap, c in zip(gaps, code, strict=True) if c == country.code]
        assert country.gap.places == len(own)
        assert country.gap.median_km == pytest.approx(np.median(own))
        assert country.gap.worst_km == pytest.approx(max(own))
    assert audit.nowhere_places == sum(each is None for each in code)
    for radius in (1, 25, 200, 750, 2500):
        share = np.mean([gap < radius for gap in gaps])
        assert audit.ceilings["osv5m-official"][str(radius)] == pytest.approx(share)
    nearest = [gallery[row.index(min(row))] for row in apart]
    ellipsoid = geodesic_km(places, np.array(nearest))
    assert audit.ceilings["geoclip"]["750"] == pytest.approx((ellipsoid <= 750).mean())
    score = np.mean([5000 * np.exp(-gap / 1492.7) for gap in gaps])
    assert audit.ceilings["osv5m-clean"]["geoscore"] == pytest.approx(score)


def test_planted_duplicates_neighbours_and_points_at_sea_are_counted():
    two_metres, five_metres_apart = 2 / 111_195, 5 / 111_195
    gallery = [
        PARIS, LYON, ABUJA,
        PARIS, PARIS,                              # two exact duplicates
        [LYON[0] + two_metres, LYON[1]],           # a near one, and its neighbour
        [0.0, -30.0], [30.0, -40.0],               # mid-Atlantic
        [43.29, 5.2],                              # off Marseille, some 10 km from the coast
    ]  # fmt: skip
    audit, drawn = audited(gallery, [PARIS])
    assert (audit.rows, audit.distinct, audit.duplicates) == (9, 7, 2)
    assert audit.near_duplicates == 2
    assert audited(gallery, [PARIS], near_m=1.0)[0].near_duplicates == 0
    assert (audit.off_land, audit.far_at_sea) == (3, 2)
    assert drawn.gallery_deg[drawn.far_at_sea].tolist() == [[0.0, -30.0], [30.0, -40.0]]
    pair = [PARIS, [PARIS[0] + five_metres_apart, PARIS[1]]]
    spacing = audited(pair, [PARIS])[0].spacing_km
    assert spacing is not None
    assert spacing["0.5"] == pytest.approx(0.005, rel=1e-6)
    assert audited([PARIS], [PARIS])[0].spacing_km is None


def test_countries_without_a_place_and_those_asked_for_by_code():
    audit, _ = audited([PARIS, LYON], [PARIS, ABUJA, KANO, [0.0, -30.0]])
    assert [each.code for each in audit.countries] == ["NG", "FR"]
    assert dict(audit.without) == {"NG": "Nigeria"}
    assert audit.nowhere_places == 1
    assert audit.country("fr").gallery_places == 2
    assert [e.code for e in named_countries(audit, "all")] == ["NG", "FR"]
    assert [e.code for e in named_countries(audit, "1")] == ["NG"]
    assert [e.code for e in named_countries(audit, "FR, NG")] == ["FR", "NG"]
    with pytest.raises(ConfigError, match="code 'DE'"):
        named_countries(audit, "FR,DE")


def test_what_is_shown_holds_the_findings():
    audit, _ = audited([PARIS, PARIS, LYON], [PARIS, ABUJA])
    told = audit_text(audit, countries=audit.countries)
    assert max(map(len, told.splitlines())) <= 100
    assert "2 (exact duplicates: 1)" in told
    assert "osv5m-official  50.0 %" in told
    assert "1 country with places and none in the gallery" in told
    page = audit_markdown(audit, countries=audit.countries)
    assert "| NG Nigeria | 1 | 0 |" in page
    tree = json.loads(json.dumps(audit.to_json(), allow_nan=False))
    assert tree["duplicates"] == 1
    assert tree["protocols"]["geoclip"]["comparison"] == "d <= r"
    assert tree["countries"][0]["gap"]["places"] == 1


def test_what_cannot_be_audited():
    with pytest.raises(DataError, match="g has no places"):
        audited(np.empty((0, 2)), [PARIS])
    with pytest.raises(CoordinateError, match="a: place"):
        audited([PARIS], [[100.0, 0.0]])
    with pytest.raises(ConfigError, match="some metres"):
        audited([PARIS], [PARIS], near_m=0.0)


def test_geoclips_gallery_as_measured_by_others():
    """100,000 rows, 94,123 distinct; gaps of 6.9 km in France, 165 km in Nigeria."""
    cities = Gazetteer.load()
    some = np.isin(cities.country, ["FR", "NG"])
    audit, _ = audit_gallery(
        gallery_places(), cities.latlon_deg[some], gallery="geoclip", against="cities"
    )
    assert (audit.rows, audit.distinct, audit.duplicates) == (100_000, 94_123, 5_877)
    assert round(audit.country("FR").gap.median_km, 1) == 6.9
    assert round(audit.country("NG").gap.median_km) == 165
