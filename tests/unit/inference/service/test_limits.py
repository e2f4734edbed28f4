import hashlib

import pytest

from geoloc.inference.service.failures import RequestError
from geoloc.inference.service.limits import Allowance, check_key, declared_bytes, media_type

KEYS = tuple(hashlib.sha256(key).digest() for key in (b"first-long-secret", b"other-long-secret"))


def test_media_type_and_parameters():
    assert media_type({"content-type": 'Multipart/Form-Data; Boundary="a b"; x'}) == (
        "multipart/form-data",
        {"boundary": "a b"},
    )
    assert media_type({}) == ("", {})


@pytest.mark.parametrize("declared", ["-1", "1e3", "٣", "", "0x10", " 5"])
def test_a_length_that_is_no_number(declared):
    with pytest.raises(RequestError) as refused:
        declared_bytes({"content-length": declared}, 100, 0.0001)
    assert refused.value.status == 400


@pytest.mark.parametrize(("declared", "fits"), [("100", True), ("101", False), ("9" * 5000, False)])
def test_a_length_above_the_limit(declared, fits):
    if fits:
        assert declared_bytes({"content-length": declared}, 100, 0.0001) == int(declared)
    else:
        with pytest.raises(RequestError) as refused:
            declared_bytes({"content-length": declared}, 100, 0.0001)
        assert refused.value.status == 413


@pytest.mark.parametrize(
    ("headers", "known"),
    [
        ({"x-api-key": "first-long-secret"}, True),
        ({"authorization": "Bearer other-long-secret"}, True),
        ({"authorization": "bearer  other-long-secret"}, True),
        ({"authorization": "Basic other-long-secret"}, False),
        ({"x-api-key": "first-long-secre"}, False),
        ({"x-api-key": ""}, False),
        ({"x-api-key": "\udcff"}, False),
        ({}, False),
    ],
)
def test_keys(headers, known):
    check_key(headers, ())
    if known:
        check_key(headers, KEYS)
    else:
        with pytest.raises(RequestError) as refused:
            check_key(headers, KEYS)
        assert refused.value.status == 401


def test_an_allowance_is_never_overdrawn():
    allowance = Allowance(3)
    allowance.take(2)
    with pytest.raises(RequestError):
        allowance.take(2)
    assert allowance.taken == 2
    allowance.give_back(2)
    allowance.take(3)
