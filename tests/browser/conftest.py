"""A real service in a process of its own, and a real browser that watches what the page does."""

import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import expect, sync_playwright

from geoloc.models import ModelSpec, build_model, save_model
from geoloc.models.image_encoder import ImageEncoderSpec
from geoloc.models.model_spec import LocationEncoderSpec
from geoloc.retrieval import Gallery

KEY = "a-key-for-the-tests-of-the-page"
ROOT = Path(__file__).parents[2]
DESKTOP, PHONE = (1280, 860), (360, 740)
# on both sides of the antimeridian, farther apart than any answer's places need be by default
FIJI = [[-17.71, 178.07], [-12.5, 177.07], [-18.2, -178.8], [-21.13, -175.2], [-14.3, -178.12]]


# a busy machine is no fault of the page
PATIENCE_MS = 30_000
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory):
    """A finished run of an untrained model, whose gallery is five places around Fiji."""
    spec = ModelSpec(
        image_encoder=ImageEncoderSpec(
            kind="conv", name="tiny", weights=None, width=8, image_size=32
        ),
        location_encoder=LocationEncoderSpec(sigmas=(1.0, 4.0), hidden=16, features=8),
        embedding_dim=16,
        head_hidden=16,
        seed=0,
    )
    torch.manual_seed(0)
    model = build_model(spec).eval()
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    save_model(folder / "model", model, spec)
    gallery = Gallery.build(
        np.array(FIJI), model.embed_places, model_fingerprint=model.fingerprint(), name="fiji"
    )
    gallery.save(folder / "galleries" / "fiji")
    about = {"schema_version": 1, "started": "2026-01-02T03:04:05+00:00", "finished": True}
    (folder / "run.json").write_text(json.dumps(about))
    return folder


@pytest.fixture(scope="session")
def address(chromium, run_folder):
    """Where `geoloc serve` listens: it asks for a key and takes at most a megabyte."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    limits = ["limits.request_megabytes=1.0", "access.api_keys_variable=GEOLOC_TEST_KEY"]
    command = [sys.executable, "-m", "geoloc", "serve", "--run", str(run_folder), f"port={port}"]
    environment = os.environ | {"GEOLOC_TEST_KEY": KEY, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [*command, *limits, "explain=true"], cwd=ROOT, env=environment
    ) as service:
        url = f"http://127.0.0.1:{port}/"
        try:
            for _ in range(600):
                assert service.poll() is None, "geoloc serve ended"
                try:
                    if httpx.get(f"{url}ready").status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                time.sleep(0.1)
            yield url
        finally:
            service.terminate()
            service.wait(30)


@pytest.fixture(scope="session")
def chromium():
    """Where a Chromium is: on the path, or Playwright's own."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        with sync_playwright() as playwright:
            own = playwright.chromium.executable_path
        if not Path(own).is_file():
            pytest.skip("no Chromium: neither chromium nor google-chrome nor Playwright's own")
        found = own
    return found


@pytest.fixture(scope="module")
def browser(chromium):
    """A browser, closed before other tests: while Playwright is open, no other event loop runs."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def blank_page(browser, address):
    """A page of the service that does nothing, with Leaflet, for calling modules alone."""
    page = browser.new_page()
    page.goto(f"{address}static/icon.svg")
    page.evaluate("() => import('/static/vendor/leaflet/leaflet.js')")
    yield page
    page.close()


@pytest.fixture
def visit(browser, address):
    """`visit(size=PHONE, key=False)`: the page, opened; afterwards nothing may have gone wrong.

    Requests that match `before` fail.

    Every request stays with the service, and nothing is said on the console but that a request was
    refused, which browsers cannot be kept from.
    """
    contexts, requests, complaints = [], [], []

    def listen(page):
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda message: (
                message.type in {"error", "warning"} and complaints.append(message.text)
            ),
        )

    def open_page(*, size=DESKTOP, key=True, before=None, **settings):
        width, height = size
        context = browser.new_context(viewport={"width": width, "height": height}, **settings)
        context.set_default_timeout(PATIENCE_MS)
        if key:
            context.add_init_script(f"sessionStorage.setItem('geoloc-api-key', '{KEY}')")
        contexts.append(context)
        page = context.new_page()
        listen(page)
        if before:
            page.route(before, lambda route: route.abort())
        page.goto(address)
        expect(page.locator("html[data-ready=true]")).to_be_attached()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert len(requests) > 0
    assert [url for url in requests if not url.startswith((address, f"blob:{address}"))] == []
    assert [words for words in complaints if "Failed to load resource" not in words] == []


def photograph(seed=0, size=(96, 72), form="JPEG", **settings):
    """The bytes of an image that passes for a photograph: smooth, with a little noise."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[: size[1], : size[0]] / 20.0
    waves = [np.sin(x + generator.uniform(0, 6)) * np.cos(y + i) for i in range(3)]
    pixels = 128 + 90 * np.stack(waves, axis=-1) + generator.normal(0, 3, (size[1], size[0], 3))
    buffer = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(buffer, form, **settings)
    return buffer.getvalue()


@pytest.fixture
def photo_bytes():
    return photograph


@pytest.fixture
def photo_file():
    """A chosen file as Playwright takes it."""

    def make(seed=0, name=None, **settings):
        content = photograph(seed, **settings)
        return {"name": name or f"photo-{seed}.jpg", "mimeType": "image/jpeg", "buffer": content}

    return make
