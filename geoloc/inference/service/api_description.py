"""OpenAPI of the service: bodies that routes read by themselves, errors, keys."""

from __future__ import annotations

from typing import Any, cast

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from geoloc.inference.service.options import (
    DEFAULT_TOP_K,
    LEAST_APART_KM,
    MOST_APART_KM,
)
from geoloc.inference.service.schema import Document, ErrorDocument
from geoloc.inference.service.settings import LimitsSection, ServiceSettings

_SAID: dict[int, str] = {
    400: "The request is malformed.",
    401: "No API key, or an unknown one.",
    408: "The upload was too slow.",
    413: "Too many bytes or images.",
    415: "Wrong content type.",
    431: "The request's headers are too large.",
    422: "No image of the request could be answered; the document says why, image by image.",
    500: "Something broke in the service.",
    501: "The model has no text tower.",
    503: "Busy, or the model is being loaded; Retry-After says in how many seconds to try again.",
    504: "The answer took too long.",
}
_ANYWHERE = (400, 431, 500, 503)
"""What the guard before all routes, or a bug, may give."""
_IMAGE: dict[str, Any] = {"type": "string", "format": "binary"}
_RETRY = {"Retry-After": {"description": "Seconds.", "schema": {"type": "string"}}}


def responses(model: type | None, *errors: int) -> dict[int | str, dict[str, Any]]:
    """The responses of a route: 200 with `model` (text if None), and errors besides everybody's."""
    good: dict[str, Any] = {"description": "The answer."}
    if model is None:
        good["content"] = {"text/plain": {"schema": {"type": "string"}}}
    else:
        good["model"] = model
    described: dict[int | str, dict[str, Any]] = {200: good}
    for status in sorted({*errors, *_ANYWHERE}):
        described[status] = {
            "description": _SAID[status],
            "model": Document if status == 422 else ErrorDocument,
        }
        if status == 503:
            described[status]["headers"] = _RETRY
    return described


def describe(app: FastAPI, settings: ServiceSettings, *, keys: bool) -> None:
    """Let the application's OpenAPI tell the bodies of its routes, its limits and its keys.

    Args:
        app: with all its routes.
        settings: whose limits hold.
        keys: whether API keys are asked for.
    """

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
            )
            paths = cast("dict[str, Any]", document["paths"])
            paths["/v1/locate"]["post"]["requestBody"] = _images_body(settings.limits)
            if settings.explain:
                paths["/v1/explain"]["post"]["requestBody"] = _image_body()
            paths["/v1/places"]["post"]["requestBody"] = _texts_body(settings.limits)
            if keys:
                _add_keys(document)
            app.openapi_schema = document
        return app.openapi_schema

    # FastAPI's documented way to say more than routes do.
    app.openapi = openapi


def _image_body() -> dict[str, Any]:
    form = {
        "type": "object",
        "required": ["image"],
        "additionalProperties": False,
        "properties": {"image": _IMAGE},
    }
    return {
        "required": True,
        "content": {"multipart/form-data": {"schema": form}, "image/*": {"schema": _IMAGE}},
    }


def _images_body(limits: LimitsSection) -> dict[str, Any]:
    form = {
        "type": "object",
        "required": ["image"],
        "additionalProperties": False,
        "properties": {
            "image": {"type": "array", "items": _IMAGE, "minItems": 1, "maxItems": limits.images},
            "top_k": {
                "type": "integer",
                "minimum": 1,
                "maximum": limits.top_k,
                "default": DEFAULT_TOP_K,
            },
            "apart_km": {
                "type": "number",
                "minimum": LEAST_APART_KM,
                "maximum": MOST_APART_KM,
            },
            "together": {"type": "boolean", "default": False},
            "heat": {"type": "boolean", "default": False},
        },
    }
    return {
        "required": True,
        "content": {"multipart/form-data": {"schema": form}, "image/*": {"schema": _IMAGE}},
    }


def _texts_body(limits: LimitsSection) -> dict[str, Any]:
    text = {"type": "string", "minLength": 1, "maxLength": limits.text_characters, "pattern": r"\S"}
    schema = {
        "type": "object",
        "required": ["texts"],
        "additionalProperties": False,
        "properties": {
            "texts": {"type": "array", "items": text, "minItems": 1, "maxItems": limits.texts},
            "top_k": {
                "type": "integer",
                "minimum": 1,
                "maximum": limits.top_k,
                "default": DEFAULT_TOP_K,
            },
        },
    }
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _add_keys(document: dict[str, Any]) -> None:
    document["components"]["securitySchemes"] = {
        "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        "bearer": {"type": "http", "scheme": "bearer"},
    }
    for path, operations in document["paths"].items():
        if path.startswith("/v1/") or path == "/metrics":
            for operation in operations.values():
                operation["security"] = [{"key": []}, {"bearer": []}]
