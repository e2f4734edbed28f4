import logging
import socket
import threading
import time

import jsonschema
import pytest

from geoloc.errors import CheckpointError
from geoloc.inference.service.server import serve

KEY = "a-key-of-some-length"


def send(client, *images, **fields):
    files = [("image", (f"{position}.png", data)) for position, data in enumerate(images)]
    return client.post("/v1/locate", files=files, data=fields)


def error_kind(response):
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"kind", "message"}
    return body["error"]["kind"]


def checker(client, name):
    """Validates against a schema of the service's own OpenAPI."""
    document = client.get("/openapi.json").json()
    return jsonschema.Draft202012Validator(
        {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    )


def test_each_image_has_the_answer_that_the_geolocator_gives_it(serving, geolocator, png):
    images = [png(seed) for seed in range(3)]
    alone = geolocator.locate(images, 3)
    with serving() as client:
        response = send(client, images[0], b"no image", images[1], images[2], top_k="3")
        checker(client, "Document").validate(response.json())
    assert response.status_code == 200
    document = response.json()
    assert document["schema_version"] == 2
    assert [answer["source"] for answer in document["answers"]] == ["0.png", "2.png", "3.png"]
    assert [(each["source"], each["kind"]) for each in document["refusals"]] == [
        ("1.png", "not_an_image")
    ]
    for answer, own in zip(document["answers"], alone, strict=True):
        first, expected = answer["places"][0], own.places[0]
        assert first["latitude_deg"] == pytest.approx(expected.latlon_deg[0], abs=1e-5)
        assert first["longitude_deg"] == pytest.approx(expected.latlon_deg[1], abs=1e-5)
        assert first["score"] == pytest.approx(expected.score, abs=1e-5)


def test_a_raw_image_and_a_form_have_the_same_answer(serving, png):
    with serving() as client:
        form = send(client, png(1)).json()["answers"][0]
        raw = client.post("/v1/locate", content=png(1), headers={"content-type": "image/png"})
    assert raw.json()["answers"][0]["source"] == "image 1"
    assert raw.json()["answers"][0]["places"] == form["places"]


def test_what_is_refused_has_its_status_and_kind(serving, png):
    one = {"image": ("a.png", png())}
    with serving(limits={"images": 2, "request_megabytes": 0.1, "megapixels": 0.002}) as client:
        post = client.post
        seen = {
            "wrong_content_type": post("/v1/locate", content=b"{}"),
            "malformed": post("/v1/locate", files=one, data={"top_k": "0"}),
            "too_many_bytes": post(
                "/v1/locate", content=bytes(200_000), headers={"content-type": "image/png"}
            ),
            "too_many_images": send(client, png(), png(), png()),
            "not_found": client.get("/v1/nothing"),
            "method_not_allowed": client.get("/v1/locate"),
            "no_text_tower": post("/v1/places", json={"texts": ["a beach"]}),
        }
        assert {kind: response.status_code for kind, response in seen.items()} == {
            "wrong_content_type": 415,
            "malformed": 400,
            "too_many_bytes": 413,
            "too_many_images": 413,
            "not_found": 404,
            "method_not_allowed": 405,
            "no_text_tower": 501,
        }
        assert {kind: error_kind(response) for kind, response in seen.items()} == {
            kind: kind for kind in seen
        }
        refused = send(client, b"no image", png(size=(60, 50)))
        assert refused.status_code == 422
        checker(client, "Document").validate(refused.json())
        kinds = [each["kind"] for each in refused.json()["refusals"]]
        assert kinds == ["not_an_image", "too_large"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"texts": "a"}',
        b'{"texts": []}',
        b'{"texts": [" "]}',
        b'{"texts": ["a"], "top_k": 0}',
        b'{"texts": ["a"], "top_k": "3"}',
        b'{"texts": ["a"], "more": 1}',
        b'{"texts": ["\xff"]}',
        b'{"texts": ' + b"[" * 100_000,
    ],
)
def test_questions_in_words_that_are_malformed(shared, body):
    response = shared.post("/v1/places", content=body, headers={"content-type": "application/json"})
    assert (response.status_code, error_kind(response)) == (400, "malformed")


@pytest.fixture(scope="module")
def shared():
    """One service for tests that only ask."""
    from tests_of_service import tiny_client

    with tiny_client() as client:
        yield client
