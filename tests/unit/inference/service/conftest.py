"""A real server in a thread, around the tiny geolocator, and clients for it."""

from __future__ import annotations

import io
import threading
import time
from contextlib import contextmanager

import httpx
import pytest
import torch

from geoloc.inference.service.asking import Asking
from geoloc.inference.service.server import make_server
from geoloc.inference.service.settings import ServiceSettings


def settings_with(**changes):
    """The defaults with keys changed, at a free port."""
    quick = {"port": 0, "access_log": False, "coarse_km": 0.0, "shutdown_seconds": 2.0}
    return ServiceSettings.model_validate(quick | changes)


@contextmanager
def running(geolocator, *, load=None, wait=True, **changes):
    """A client of a service that is ready; `end_server` does what SIGTERM does."""
    server = make_server(settings_with(**changes), load or (lambda: geolocator))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.005)
            assert thread.is_alive()
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20.0) as client:
            client.end_server = lambda: setattr(server, "should_exit", True)
            while wait and (told := client.get("/ready")).status_code != 200:
                assert "loaded" in told.text, told.text
                time.sleep(0.01)
            yield client
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        assert not thread.is_alive()


def encoded(image, form="PNG", **how):
    """The bytes of an image."""
    buffer = io.BytesIO()
    image.save(buffer, form, **how)
    return buffer.getvalue()


@pytest.fixture
def serving(geolocator):
    """`with serving(limits={...}) as client`: a client of a real server."""

    def start(**changes):
        return running(geolocator, **changes)

    return start


@pytest.fixture
def png(photo):
    """The bytes of a photo, by seed."""
    return lambda seed=0, size=(48, 40): encoded(photo(seed, size))


@pytest.fixture
def running_service():
    """The context manager itself, for services that are not ready at once."""
    return running


@pytest.fixture
def text_tower(geolocator, monkeypatch):
    """Gives the tiny geolocator a text tower."""

    class Tower:
        """Stands for a CLIP's text tower, which is too large for a test."""

        def encode(self, texts):
            return torch.ones(len(texts), geolocator.model.image_encoder.feature_dim)

    monkeypatch.setattr(geolocator, "_texts", Tower())
    monkeypatch.setattr(Asking, "takes_texts", True)
