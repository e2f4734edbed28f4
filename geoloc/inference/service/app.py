"""The application: routes, errors and layers around one Service."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from geoloc._version import __version__
from geoloc.inference.geolocator import Geolocator
from geoloc.inference.service.api_description import describe, responses
from geoloc.inference.service.failures import (
    RequestError,
    error_response,
    malformed,
    wrong_content_type,
)
from geoloc.inference.service.guard import Guard
from geoloc.inference.service.limits import check_key, media_type
from geoloc.inference.service.metrics import CONTENT_TYPE
from geoloc.inference.service.schema import About, Document, Explained, State, read_texts
from geoloc.inference.service.service import Service
from geoloc.inference.service.settings import ServiceSettings, key_digests

PAGE = Path(__file__).parent / "page"


def create_app(
    settings: ServiceSettings,
    load: Callable[[], Geolocator],
    *,
    failed: Callable[[BaseException], None] | None = None,
    stuck: Callable[[], None] | None = None,
) -> ASGIApp:
    """The application of the service.

    Args:
        settings: of the service.
        load: gives the geolocator; called once the application runs, in a thread.
        failed: told why the geolocator cannot be loaded, or has stopped.
        stuck: told that a thread could not be waited for at the end.

    Raises:
        ConfigError: the API keys cannot be read, or are too short.
    """
    digests = key_digests(settings.access)
    service = Service(settings, load, failed=failed, stuck=stuck)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None, None]:
        async with service.running():
            yield

    app = FastAPI(
        title="geoloc",
        version=__version__,
        description="Where on Earth was an image taken? Images are held in memory only.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    _add_asking(app, service, digests)
    if settings.explain:
        _add_explaining(app, service, digests)
    _add_state(app, service, digests)
    _add_page(app)
    _add_errors(app, service)
    describe(app, settings, keys=bool(digests))
    if settings.access.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.access.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type", "x-api-key"],
            expose_headers=["retry-after"],
        )
    return Guard(
        app,
        service.metrics,
        most_requests=settings.limits.requests,
        most_header_bytes=1024 * settings.limits.header_kilobytes,
        access_log=settings.access_log,
    )


def _add_asking(app: FastAPI, service: Service, digests: tuple[bytes, ...]) -> None:
    limits = service.settings.limits

    @app.post("/v1/locate", responses=responses(Document, *_REFUSALS, 415, 422))
    async def locate(request: Request) -> Response:
        """Where each image was taken, or all of them together."""
        check_key(request.headers, digests)
        status, document = await service.locate(request)
        return JSONResponse(document, status_code=status)

    @app.post("/v1/places", responses=responses(Document, *_REFUSALS, 415, 501))
    async def places(request: Request) -> Response:
        """Where images with such captions would have been taken."""
        check_key(request.headers, digests)
        kind, parameters = media_type(request.headers)
        if kind != "application/json" or parameters.get("charset", "utf-8").lower() != "utf-8":
            raise wrong_content_type("application/json in UTF-8")
        asked = read_texts(await service.words(request))
        if not 1 <= len(asked.texts) <= limits.texts:
            raise malformed(f"texts are 1 to {limits.texts}")
        if not all(text.strip() and len(text) <= limits.text_characters for text in asked.texts):
            raise malformed(f"a text has 1 to {limits.text_characters} characters, not all blank")
        if not 1 <= asked.top_k <= limits.top_k:
            raise malformed(f"top_k is a whole number from 1 to {limits.top_k}")
        return JSONResponse(await service.places(tuple(asked.texts), asked.top_k))

    _ = (locate, places)


def _add_explaining(app: FastAPI, service: Service, digests: tuple[bytes, ...]) -> None:
    @app.post("/v1/explain", responses=responses(Explained, *_REFUSALS, 415, 422))
    async def explain(request: Request) -> Response:
        """Which part of one image moved its answer."""
        check_key(request.headers, digests)
        status, document = await service.explain(request)
        return JSONResponse(document, status_code=status)

    _ = explain


_REFUSALS = (401, 408, 413, 504)


def _add_state(app: FastAPI, service: Service, digests: tuple[bytes, ...]) -> None:
    settings = service.settings

    @app.get("/v1/about", responses=responses(About, 401, 503))
    async def about(request: Request) -> Response:
        """What answers rest on, and what may be asked."""
        check_key(request.headers, digests)
        service.check_ready()
        limits = settings.limits
        return JSONResponse(
            {
                "basis": service.asking.basis(),
                "limits": {
                    name: getattr(limits, name)
                    for name in (
                        *("request_megabytes", "megapixels", "images"),
                        *("texts", "text_characters", "top_k"),
                    )
                },
                "coarse_km": settings.coarse_km,
                "explain": settings.explain,
                "texts": service.asking.takes_texts,
                "version": __version__,
            }
        )

    @app.get("/health", responses=responses(State))
    async def health() -> Response:
        """Alive: the process answers."""
        return JSONResponse({"status": "alive"})

    @app.get("/ready", responses=responses(State, 503))
    async def ready() -> Response:
        """Ready: the model is loaded and has answered once."""
        service.check_ready()
        return JSONResponse({"status": "ready"})

    @app.get("/metrics", responses=responses(None, 401), response_class=Response)
    async def metrics(request: Request) -> Response:
        """Measurements in Prometheus' text format."""
        check_key(request.headers, digests)
        return Response(service.metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    _ = (about, health, ready, metrics)


class _PageFiles(StaticFiles):
    """The page's files, asked about again each time: no old module beside a new one."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        return response


def _add_page(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return FileResponse(PAGE / "index.html", headers={"Cache-Control": "no-cache"})

    _ = page
    app.mount("/static", _PageFiles(directory=PAGE), name="static")


def _add_errors(app: FastAPI, service: Service) -> None:
    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestError)
        service.metrics.refusals.labels(error.kind).inc()
        return error_response(error)

    async def not_routed(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        kinds = {404: "not_found", 405: "method_not_allowed"}
        return error_response(
            RequestError(
                error.status_code,
                kinds.get(error.status_code, "malformed"),
                str(error.detail),
                headers=dict(error.headers or {}),
            )
        )

    async def broken(_: Request, error: Exception) -> Response:
        # The guard logs where; it sees the error once this has answered.
        service.metrics.refusals.labels("internal").inc()
        return error_response(RequestError(500, "internal", "something broke in the service"))

    app.add_exception_handler(Exception, broken)
    app.add_exception_handler(RequestError, refused)
    app.add_exception_handler(HTTPException, not_routed)
