"""Guard: the outermost layer; counts, times, names and bounds requests, and lets nothing escape."""

from __future__ import annotations

import logging
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from geoloc.inference.service.failures import RequestError, error_response, malformed, where
from geoloc.inference.service.limits import Allowance
from geoloc.inference.service.metrics import Metrics

logger = logging.getLogger("geoloc.service")

SECURITY_HEADERS = {
    # Previews of chosen images are blob: addresses; nothing comes from another host.
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(self), geolocation=(), microphone=()",
    "cross-origin-opener-policy": "same-origin",
}
_WATCHING = {"/health", "/ready", "/metrics"}
_HEADERS = [(name.encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]


class Guard:
    """Wraps the application.

    Args:
        app: the application.
        metrics: is told of every request.
        most_requests: that are answered at once; others get 503, except who asks for health,
            readiness or metrics.
        most_header_bytes: of a request's line and headers; others get 431.
        access_log: whether each request has a line in the log: method, route, status, time.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        *,
        most_requests: int,
        most_header_bytes: int,
        access_log: bool,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._active = Allowance(most_requests)
        self._most_header_bytes = most_header_bytes
        self._access_log = access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request (or the lifespan, which passes through)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s = time.perf_counter()
        status = 0

        async def guarded_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        # Whoever watches over the service must reach it when it is busiest.
        cost = 0 if scope["path"] in _WATCHING else 1
        try:
            _check_headers(scope, self._most_header_bytes)
            self._active.take(cost)
            try:
                await self._app(scope, receive, guarded_send)
            finally:
                self._active.give_back(cost)
        except RequestError as error:
            await self._refuse(error, scope, receive, guarded_send)
        except Exception as error:
            # The message of an unforeseen error could quote what somebody sent: only where it was.
            logger.error("%s at %s", type(error).__name__, where(error))
            if status == 0:
                broken = RequestError(500, "internal", "something broke in the service")
                await self._refuse(broken, scope, receive, guarded_send)
        seconds = time.perf_counter() - began_s
        route = _route(scope)
        self._metrics.requests.labels(route, str(status)).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        if self._access_log and route not in _WATCHING:
            logger.info("%s %s %d %.0f ms", _method(scope), route, status, 1e3 * seconds)

    async def _refuse(
        self, error: RequestError, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._metrics.refusals.labels(error.kind).inc()
        await error_response(error)(scope, receive, send)


def _check_headers(scope: Scope, most_bytes: int) -> None:
    """Refuse large headers that came at once; h11's limit is for those that come in pieces."""
    if scope["http_version"] not in {"1.0", "1.1"}:
        raise malformed("this is spoken to in HTTP/1.1")
    line = len(scope.get("raw_path") or b"") + len(scope.get("query_string") or b"")
    if line + sum(len(name) + len(value) + 4 for name, value in scope["headers"]) > most_bytes:
        raise RequestError(431, "headers_too_large", "the request's headers are too large")


def _method(scope: Scope) -> str:
    method = str(scope["method"])
    return method if method in {"GET", "POST", "HEAD", "OPTIONS"} else "other"


def _route(scope: Scope) -> str:
    """The route's own path, never the request's: paths come from outside."""
    route: Any = scope.get("route")
    path = getattr(route, "path", None)
    if isinstance(path, str):
        return path
    asked = str(scope.get("path", ""))
    # Routes that are not FastAPI's own leave no name.
    known = (name for name in ("/openapi.json", "/static") if asked.startswith(name))
    return next(known, "other")
