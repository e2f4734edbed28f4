"""Running the service until a signal ends it."""

from __future__ import annotations

import ipaddress
import logging
import os
import signal
from collections.abc import Callable
from threading import Event

import uvicorn

from geoloc.errors import ConfigError, GeolocError
from geoloc.inference.geolocator import Geolocator
from geoloc.inference.service.app import create_app
from geoloc.inference.service.protocol import patient_protocol
from geoloc.inference.service.settings import ServiceSettings

logger = logging.getLogger("geoloc.service")


def make_server(
    settings: ServiceSettings,
    load: Callable[[], Geolocator],
    *,
    failed: Callable[[BaseException], None] | None = None,
    stuck: Callable[[], None] | None = None,
) -> uvicorn.Server:
    """A server of the service, not yet listening.

    Args:
        settings: of the service.
        load: gives the geolocator; called in a thread while the server already listens.
        failed: told why it cannot be loaded, or has stopped.
        stuck: told that a thread could not be waited for at the end.

    Raises:
        ConfigError: the API keys cannot be read, or are too short.
    """
    limits = settings.limits
    config = uvicorn.Config(
        create_app(settings, load, failed=failed, stuck=stuck),
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
        GeolocError: whatever `load` raised, or the model has stopped.
        ConfigError: the API keys cannot be read, or the address cannot be had.
    """
    failures: list[BaseException] = []
    stuck = Event()

    def failed(error: BaseException) -> None:
        failures.append(error)
        server.should_exit = True

    server = make_server(settings, load, failed=failed, stuck=stuck.set)
    if not settings.access.asks_for_keys and not _is_loopback(settings.host):
        logger.warning(
            "no API key is asked for at %s: whoever reaches the port may ask", settings.host
        )
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
    if stuck.is_set() and not failures:
        logger.warning("ended without waiting for the model or an image any longer")
        logging.shutdown()
        # Python itself would wait for the thread, for as long as it takes.
        os._exit(0)
    if failures and not isinstance(failures[0], GeolocError):
        kind = type(failures[0]).__name__
        raise GeolocError(f"the model has stopped: {kind}: {failures[0]}") from failures[0]
    if failures:
        raise failures[0]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
