"""Running the service until a signal ends it."""

from __future__ import annotations

import signal
from collections.abc import Callable

import uvicorn

from geoloc.errors import ConfigError, GeolocError
from geoloc.inference.geolocator import Geolocator
from geoloc.inference.service.app import create_app
from geoloc.inference.service.protocol import patient_protocol
from geoloc.inference.service.settings import ServiceSettings


def make_server(
    settings: ServiceSettings,
    load: Callable[[], Geolocator],
    *,
    failed: Callable[[GeolocError], None] | None = None,
) -> uvicorn.Server:
    """A server of the service, not yet listening.

    Args:
        settings: of the service.
        load: gives the geolocator; called in a thread while the server already listens.
        failed: told why it cannot be loaded.

    Raises:
        ConfigError: the API keys cannot be read, or are too short.
    """
    limits = settings.limits
    config = uvicorn.Config(
        create_app(settings, load, failed=failed),
        host=settings.host,
        port=settings.port,
        http=patient_protocol(
            most_connections=limits.connections,
            header_seconds=limits.header_seconds,
            drain_seconds=limits.upload_seconds,
            send_seconds=limits.send_seconds,
        ),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        h11_max_incomplete_event_size=1024 * limits.header_kilobytes,
        timeout_graceful_shutdown=max(1, round(settings.shutdown_seconds)),
    )
    return uvicorn.Server(config)


def serve(settings: ServiceSettings, load: Callable[[], Geolocator]) -> None:
    """Listen and answer until SIGTERM or SIGINT; requests that have begun are finished.

    Args:
        settings: of the service.
        load: as for `make_server`.

    Raises:
        GeolocError: whatever `load` raised.
        ConfigError: the API keys cannot be read, or the address cannot be had.
    """
    failures: list[GeolocError] = []

    def failed(error: GeolocError) -> None:
        failures.append(error)
        server.should_exit = True

    server = make_server(settings, load, failed=failed)
    # uvicorn raises the signal again once it has finished; a service that was told to end and did
    # so has not failed.
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        server.run()
    except SystemExit:
        raise ConfigError(
            f"cannot listen at {settings.host} port {settings.port}: it is taken or not ours"
        ) from None
    finally:
        signal.signal(signal.SIGTERM, before)
    if failures:
        raise failures[0]
