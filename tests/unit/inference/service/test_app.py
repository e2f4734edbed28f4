import contextlib
import io
import json
import logging
import socket
import subprocess
import sys
import threading
import time

import httpx
import jsonschema
import PIL.Image
import pytest

from geoloc.cli import main
from geoloc.errors import CheckpointError, ConfigError, GeolocError
from geoloc.inference.coarseness import cell_of
from geoloc.inference.explanation import explain
from geoloc.inference.service.asking import (
    WARM_UP,
    Asking,
    ExplainQuestion,
    ImageQuestion,
    TextQuestion,
)
from geoloc.inference.service.options import AnswerOptions
from geoloc.inference.service.server import serve
from geoloc.inference.service.settings import ServiceSettings

KEY = "a-key-of-some-length"
JSON = "application/json"


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


MALFORMED = (
    b"",
    b"{",
    b"[]",
    b"null",
    b'{"texts": "a"}',
    b'{"texts": []}',
    b'{"texts": [" "]}',
    b'{"texts": ["a"], "top_k": 0}',
    b'{"texts": ["a"], "top_k": "3"}',
    b'{"texts": ["a"], "more": 1}',
    b'{"texts": ["\xff"]}',
    b'{"texts": ' + b"[" * 90_000,
)


def test_questions_in_words_that_are_malformed(serving, text_tower):
    with serving() as client:
        for body in MALFORMED:
            asked = client.post("/v1/places", content=body, headers={"content-type": JSON})
            assert (asked.status_code, error_kind(asked)) == (400, "malformed"), body[:40]
        for kind in ("text/plain", "application/json; charset=utf-16"):
            asked = client.post("/v1/places", content=b"{}", headers={"content-type": kind})
            assert asked.status_code == 415


def test_a_question_in_words_is_no_larger_than_its_texts_may_be(serving, text_tower):
    limits = {"texts": 2, "text_characters": 10}
    whole = json.dumps({"texts": ["\U0001f30d" * 10] * 2, "top_k": 5})
    zeros = '{"texts": [' + "0," * 2_000 + "0]}"
    with serving(limits=limits) as client:
        asked = [
            client.post("/v1/places", content=body, headers={"content-type": JSON})
            for body in (whole, zeros, iter([zeros.encode()]))
        ]
    # The longest that may be asked, each character spelled in twelve bytes; and too much.
    assert "\\ud83c" in whole
    assert [response.status_code for response in asked] == [200, 413, 413]


def test_what_cannot_be_answered_in_words_is_refused_before_its_body(serving):
    head = b"POST /v1/places HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    with serving() as client, plain_connection(client) as connection:
        connection.sendall(head + b"Content-Length: 50\r\n\r\n")
        assert connection.recv(20).startswith(b"HTTP/1.1 501")


def plain_connection(client):
    return socket.create_connection(("127.0.0.1", client.base_url.port), timeout=10)


def test_words_go_to_a_model_that_has_a_text_tower(serving, text_tower):
    with serving() as client:
        response = client.post("/v1/places", json={"texts": ["a beach", "ice"], "top_k": 2})
        checker(client, "Document").validate(response.json())
        assert client.get("/v1/about").json()["texts"] is True
    answers = response.json()["answers"]
    assert [(each["source"], len(each["places"])) for each in answers] == [
        ("a beach", 2),
        ("ice", 2),
    ]


def test_options_reach_the_answers(serving, geolocator, png):
    images = [png(1), png(2)]
    with serving() as client:
        one = send(client, *images, together="true", heat="true", apart_km="0", top_k="7").json()
        coarse = send(client, images[0], apart_km="30").json()["answers"][0]
        checker(client, "Document").validate(one)
    (answer,) = one["answers"]
    own = geolocator.locate_together(images, top_k=7, apart_km=0.0)
    assert [place["city"] for place in answer["places"]] == [place.city for place in own.places]
    assert answer["source"] == "0.png and 1 more"
    assert sum(share for _, _, share in answer["heat"]["cells"]) == pytest.approx(1.0, abs=0.02)
    assert (coarse["apart_km"], coarse["heat"]) == (30.0, None)


def test_coarse_by_config(serving, geolocator, png):
    exact = geolocator.locate(png(3), 1).places[0]
    with serving(coarse_km=1200.0) as client:
        assert client.get("/v1/about").json()["coarse_km"] == 1200.0
        answer = send(client, png(3), top_k="1").json()["answers"][0]
    place = answer["places"][0]
    assert (place["score"], answer["apart_km"]) == (None, 1200.0)
    assert (place["latitude_deg"], place["longitude_deg"]) == pytest.approx(
        cell_of(exact.latlon_deg, 1200.0), abs=1e-5
    )
    assert all(radius["km"] >= 1200.0 for radius in answer["radii"])


def test_explanations_by_config(serving, geolocator, png):
    one = {"image": ("a.png", png(3))}
    with serving() as client:
        assert client.post("/v1/explain", files=one).status_code == 404
        assert client.get("/v1/about").json()["explain"] is False
    own = explain(geolocator, png(3), name="a.png").to_json()
    with serving(explain=True) as client:
        assert client.get("/v1/about").json()["explain"] is True
        told = client.post("/v1/explain", files=one)
        checker(client, "Explained").validate(told.json())
        assert client.post("/v1/explain", files=one, data={"top_k": "1"}).status_code == 400
        bad = client.post("/v1/explain", files={"image": ("a.png", b"no image")})
        assert (bad.status_code, bad.json()["refusals"][0]["kind"]) == (422, "not_an_image")
    assert told.json() == own
    with serving(explain=True, coarse_km=300.0) as client:
        coarse = client.post("/v1/explain", files=one).json()
    place = coarse["answer"]
    exact = (own["answer"]["latitude_deg"], own["answer"]["longitude_deg"])
    assert (place["score"], place["city_km"] >= 300.0) == (None, True)
    assert (place["latitude_deg"], place["longitude_deg"]) == pytest.approx(
        cell_of(exact, 300.0), abs=1e-5
    )
    assert all(km % 300.0 == 0 for row in coarse["moved_km"] for km in row)
    assert coarse["effect"] == own["effect"]


def test_one_explanation_at_a_time_and_it_is_a_batch(serving, geolocator, png, monkeypatch):
    free, waiting = threading.Event(), threading.Event()

    def slowly(*args, **how):
        waiting.set()
        assert free.wait(10)
        return explain(*args, **how)

    monkeypatch.setattr("geoloc.inference.service.asking.explain", slowly)
    one = {"image": ("a.png", png(3))}
    with serving(explain=True, batching={"images": 16}) as client:
        first = []
        thread = threading.Thread(
            target=lambda: first.append(client.post("/v1/explain", files=one))
        )
        thread.start()
        assert waiting.wait(10)
        assert "geoloc_queue_images 16.0" in client.get("/metrics").text
        second = client.post("/v1/explain", files=one)
        free.set()
        thread.join()
        assert (second.status_code, error_kind(second)) == (503, "overloaded")
        assert first[0].status_code == 200
        assert client.post("/v1/explain", files=one).status_code == 200


def test_questions_that_fail_are_nobody_elses(geolocator, png):
    asking = Asking(lambda: geolocator, coarse_km=0.0, megapixels=50.0)
    asking.open()
    good = ImageQuestion(images=(asking.prepare(png(), "a.png"),), options=AnswerOptions())
    bad = ExplainQuestion(data=b"no image", name="b.png")
    texts = TextQuestion(texts=("a beach",), top_k=0)
    replies = asking.answer([bad, good, texts])
    assert isinstance(replies[0], Exception)
    assert isinstance(replies[2], Exception)
    assert replies[1][0]["source"] == "a.png"


def test_about_health_ready_metrics(serving, geolocator, png):
    with serving() as client:
        send(client, png(), b"no image")
        about = client.get("/v1/about").json()
        checker(client, "About").validate(about)
        assert about["basis"]["model"] == geolocator.fingerprint
        assert about["limits"]["images"] == 16
        assert client.get("/health").json() == {"status": "alive"}
        told = client.get("/metrics")
    assert told.headers["content-type"].startswith("text/plain; version=0.0.4")
    values = {
        line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1])
        for line in told.text.splitlines()
        if not line.startswith("#")
    }
    assert values['geoloc_requests_total{route="/v1/locate",status="200"}'] == 1
    assert values["geoloc_images_total"] == 1
    assert values['geoloc_refusals_total{kind="not_an_image"}'] == 1
    assert values["geoloc_batch_images_count"] == 1
    assert values["geoloc_queue_images"] == 0
    assert values["geoloc_ready"] == 1
    assert values['geoloc_request_seconds_count{route="/v1/locate"}'] == 1


def test_keys_close_what_they_should(serving, png):
    with serving(access={"api_keys": (KEY,)}) as client:
        for path in ("/v1/about", "/metrics"):
            refused = client.get(path)
            assert (refused.status_code, error_kind(refused)) == (401, "unauthorized")
            assert client.get(path, headers={"x-api-key": KEY}).status_code == 200
            assert client.get(path, headers={"authorization": f"Bearer {KEY}"}).status_code == 200
        assert send(client, png()).status_code == 401
        assert client.post("/v1/places", json={"texts": ["a"]}).status_code == 401
        for path in ("/health", "/ready", "/openapi.json"):
            assert client.get(path).status_code == 200
        security = client.get("/openapi.json").json()["paths"]["/v1/locate"]["post"]["security"]
        assert security == [{"key": []}, {"bearer": []}]


def test_only_named_origins_may_ask(serving):
    with serving(access={"cors_origins": ("https://maps.example",)}) as client:
        seen = [
            client.options(
                "/v1/locate",
                headers={"origin": origin, "access-control-request-method": "POST"},
            ).headers.get("access-control-allow-origin")
            for origin in ("https://maps.example", "https://evil.example")
        ]
        asked = client.get("/health", headers={"origin": "https://maps.example"})
        assert asked.headers["access-control-expose-headers"] == "retry-after"
    assert seen == ["https://maps.example", None]
    with serving() as client:
        plain = client.get("/health", headers={"origin": "https://maps.example"})
        assert "access-control-allow-origin" not in plain.headers


def test_every_answer_has_the_security_headers(serving, png):
    with serving() as client:
        seen = [client.get("/health"), client.get("/nothing"), send(client, png())]
        seen.append(client.post("/v1/locate", content=b""))
    for response in seen:
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"] == "no-referrer"
        policy = response.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert "server" not in response.headers


def slow_model(geolocator, monkeypatch):
    """Makes the model wait for the event that this returns; and one that says that it does."""
    free, waiting = threading.Event(), threading.Event()
    embed = type(geolocator.stages).embed

    def slowly(self, images):
        if len(images) and images[0].query.name != WARM_UP:
            waiting.set()
            assert free.wait(10)
        return embed(self, images)

    monkeypatch.setattr(type(geolocator.stages), "embed", slowly)
    return free, waiting


def test_what_takes_too_long_is_given_up(serving, geolocator, png, monkeypatch):
    free, _ = slow_model(geolocator, monkeypatch)
    with serving(limits={"answer_seconds": 0.2}) as client:
        late = send(client, png())
        free.set()
        assert (late.status_code, error_kind(late)) == (504, "took_too_long")
        # A busy machine may need several attempts within so short a limit.
        deadline = time.monotonic() + 20
        while send(client, png()).status_code != 200:
            assert time.monotonic() < deadline
        assert "geoloc_queue_images 0.0" in client.get("/metrics").text


def test_a_full_queue_says_when_to_come_again(serving, geolocator, png, monkeypatch):
    free, waiting = slow_model(geolocator, monkeypatch)
    limits = {"images": 2, "texts": 2, "queue_images": 2}
    with serving(limits=limits) as client:
        first = []
        thread = threading.Thread(target=lambda: first.append(send(client, png(), png(1))))
        thread.start()
        assert waiting.wait(10)
        # Refused before its body is looked at: it is no form.
        refused = client.post(
            "/v1/locate", content=b"x", headers={"content-type": "multipart/form-data"}
        )
        free.set()
        thread.join()
        assert (refused.status_code, error_kind(refused)) == (503, "overloaded")
        assert int(refused.headers["retry-after"]) >= 1
        assert first[0].status_code == 200
        assert send(client, png()).status_code == 200


def test_who_does_not_read_is_not_waited_for(serving):
    limits = {"requests": 4, "connections": 50, "send_seconds": 0.2}
    asked = b"GET /static/land.json HTTP/1.1\r\nHost: x\r\n\r\n" * 100
    with serving(limits=limits) as client, contextlib.ExitStack() as silent:
        for _ in range(5):
            connection = silent.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", client.base_url.port))
            connection.sendall(asked)
        deadline = time.monotonic() + 20
        while client.get("/static/style.css").status_code != 503:
            assert time.monotonic() < deadline
        # They fill the requests that are answered at once, but nobody is kept from watching.
        for path in ("/health", "/ready", "/metrics"):
            assert client.get(path).status_code == 200
        while client.get("/static/style.css").status_code != 200:
            assert time.monotonic() < deadline


def test_what_has_begun_is_finished_and_nothing_new_is_taken(serving, geolocator, png, monkeypatch):
    free, waiting = slow_model(geolocator, monkeypatch)
    with serving(shutdown_seconds=20.0) as client:
        begun = []
        threads = [
            threading.Thread(target=lambda: begun.append(send(client, png(), png(1))))
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        assert waiting.wait(10)
        while "geoloc_queue_images 6.0" not in client.get("/metrics").text:
            time.sleep(0.01)
        client.end_server()
        deadline = time.monotonic() + 10
        while takes_connections(client.base_url):
            assert time.monotonic() < deadline
        free.set()
        for thread in threads:
            thread.join()
    assert [response.status_code for response in begun] == [200] * 3
    assert all(len(response.json()["answers"]) == 2 for response in begun)


def takes_connections(address):
    try:
        httpx.get(f"{address}/health", timeout=5)
    except httpx.ConnectError:
        return False
    return True


def test_not_ready_until_the_model_has_answered(geolocator, png, running_service):
    free = threading.Event()

    def load():
        assert free.wait(10)
        return geolocator

    with running_service(geolocator, load=load, wait=False) as client:
        assert client.get("/health").status_code == 200
        for refused in (client.get("/ready"), client.get("/v1/about"), send(client, png())):
            assert (refused.status_code, error_kind(refused)) == (503, "not_ready")
            assert "retry-after" in refused.headers
        free.set()
        deadline = time.monotonic() + 10
        while client.get("/ready").status_code != 200:
            assert time.monotonic() < deadline


def test_a_bug_is_a_500_that_tells_nothing(serving, geolocator, png, monkeypatch, caplog):
    def broken(self, images):
        if len(images) and images[0].query.name == WARM_UP:
            return embed(self, images)
        raise RuntimeError("secret.jpg")

    embed = type(geolocator.stages).embed
    monkeypatch.setattr(type(geolocator.stages), "embed", broken)
    with caplog.at_level(logging.DEBUG), serving() as client:
        response = send(client, png())
        monkeypatch.undo()
        assert send(client, png()).status_code == 200
    assert (response.status_code, error_kind(response)) == (500, "internal")
    assert "RuntimeError at broken" in caplog.text
    assert "secret.jpg" not in caplog.text + response.text


def test_the_log_has_neither_names_nor_addresses_nor_notes(serving, photo, caplog):
    notes = PIL.Image.Exif()
    notes[0x010E] = "exif-secret"
    buffer = io.BytesIO()
    photo().save(buffer, "JPEG", exif=notes)
    with caplog.at_level(logging.DEBUG, logger="geoloc"), serving(access_log=True) as client:
        files = [("image", ("name-secret.jpg", buffer.getvalue())), ("image", ("s.jpg", b"secret"))]
        response = client.post("/v1/locate?query-secret=1", files=files)
        client.get("/path-secret")
    assert response.status_code == 200
    assert "exif-secret" not in response.text
    assert "POST /v1/locate 200" in caplog.text
    assert "GET other 404" in caplog.text
    assert "secret" not in caplog.text
    assert "127.0.0.1" not in caplog.text


def test_a_run_that_cannot_be_loaded_ends_the_service():
    def load():
        raise CheckpointError("no such run")

    with pytest.raises(CheckpointError, match="no such run"):
        serve(settings_of(port=0), load)


def broken_load():
    raise ImportError("no such library")


def test_whatever_else_keeps_a_model_from_loading_ends_the_service_too(caplog):
    with pytest.raises(GeolocError, match="ImportError: no such library"):
        serve(settings_of(port=0), broken_load)
    assert "ImportError at broken_load" in caplog.text


def test_a_model_that_has_stopped_is_not_ready(geolocator, running_service, caplog):
    with running_service(geolocator, load=broken_load, wait=False) as client:
        deadline = time.monotonic() + 10
        while "the log says why" not in client.get("/ready").text:
            assert time.monotonic() < deadline
        assert client.get("/ready").status_code == 503
    assert "ImportError at broken_load" in caplog.text


def test_a_service_is_ended_while_its_model_is_being_loaded():
    script = """
import time
from geoloc.inference.service.server import serve
from geoloc.inference.service.settings import ServiceSettings

def load():
    print("loading", flush=True)
    time.sleep(300)

serve(ServiceSettings(port=0, shutdown_seconds=0.2), load)
"""
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "loading\n"
        process.terminate()
        try:
            assert process.wait(60) == 0
        finally:
            process.kill()


def test_the_command_refuses_keys_and_runs_that_are_none(tmp_path, capsys):
    assert main(["serve", "--run", str(tmp_path), "port=0"]) == 2
    assert "is not a run" in capsys.readouterr().err
    assert main(["serve", "access.api_keys=[a-secret-of-length]"]) == 2
    told = capsys.readouterr().err
    assert "never on the command line" in told
    assert "a-secret" not in told


@pytest.mark.parametrize(
    ("host", "access", "warns"),
    [
        ("0.0.0.0", {}, True),
        ("0.0.0.0", {"api_keys": (KEY,)}, False),
        ("127.0.0.1", {}, False),
        ("localhost", {}, False),
    ],
)
def test_a_service_without_keys_that_others_reach_is_warned_of(host, access, warns, caplog):
    with pytest.raises(GeolocError):
        serve(settings_of(port=0, host=host, access=access), broken_load)
    assert ("no API key is asked for" in caplog.text) is warns


def test_an_address_that_is_taken_is_an_error(geolocator):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port}"):
            serve(settings_of(port=port), lambda: geolocator)


def settings_of(**changes):
    return ServiceSettings.model_validate({"access_log": False, **changes})
