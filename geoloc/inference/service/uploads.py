"""From a request's stream to images and fields in memory; nothing is written to a disk."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from geoloc.inference.service.failures import (
    RequestError,
    malformed,
    too_many_bytes,
    wrong_content_type,
)
from geoloc.inference.service.limits import Allowance, declared_bytes, media_type
from geoloc.inference.service.settings import LimitsSection

FIELDS = ("top_k", "apart_km", "together", "heat")
_MOST_FIELD_BYTES = 32
_MOST_NAME_CHARACTERS = 100
_MOST_PART_HEADERS = 8
_MOST_HEADER_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """What a request brought.

    Attributes:
        images: their encoded bytes.
        names: what each is called in the answer, all different.
        fields: the text fields, by name.
    """

    images: list[bytes]
    names: list[str]
    fields: dict[str, str] = field(default_factory=dict[str, str])


@asynccontextmanager
async def body_stream(
    request: Request, limits: LimitsSection, memory: Allowance, *, most_megabytes: float
) -> AsyncGenerator[AsyncIterator[bytes], None]:
    """The chunks of a body within limits; its bytes count as used memory until the context ends.

    They count as they come: a body that is declared and not sent takes nothing from others.

    Args:
        request: whose body it is.
        limits: on time.
        memory: for the bodies of all requests.
        most_megabytes: of this body.

    Raises:
        RequestError: 413 too many bytes, by Content-Length or as they come; 408 they come too
            slowly; 503 the bodies of all requests together fill the memory meant for them;
            400 the client went away.
    """
    most_bytes = int(most_megabytes * 1e6)
    declared = declared_bytes(request.headers, most_bytes, most_megabytes)
    # What could not be held now is refused before it is sent.
    memory.take(declared)
    memory.give_back(declared)
    held = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal held
        async for chunk in request.stream():
            if held + len(chunk) > most_bytes:
                raise too_many_bytes(most_megabytes)
            memory.take(len(chunk))
            held += len(chunk)
            yield chunk

    try:
        yield chunks()
    finally:
        memory.give_back(held)


async def read_whole(stream: AsyncIterator[bytes], limits: LimitsSection) -> bytes:
    """All bytes of a stream.

    Raises:
        RequestError: as `body_stream`.
    """
    parts: list[bytes] = []
    async with _upload_time(limits):
        async for chunk in stream:
            parts.append(chunk)
    return b"".join(parts)


async def read_upload(
    request: Request, stream: AsyncIterator[bytes], limits: LimitsSection
) -> Upload:
    """The images and fields of a form, or the one image that the body is.

    Raises:
        RequestError: 400 no form, unknown or doubled fields, or no image; 413 too many images;
            415 another content type; and as `body_stream`.
    """
    kind, _ = media_type(request.headers)
    if kind.startswith("image/"):
        data = await read_whole(stream, limits)
        if not data:
            raise malformed("the body is empty: send one image")
        return Upload(images=[data], names=["image 1"])
    if kind != "multipart/form-data":
        raise wrong_content_type("multipart/form-data with parts named image, or one image/*")
    form = _Form(request.headers["content-type"], limits)
    async with _upload_time(limits):
        async for chunk in stream:
            form.write(chunk)
    return form.upload()


def clean_name(name: str) -> str:
    """A file name for showing: without folders and without what steers a terminal or a page."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    shown = "".join(each for each in unicodedata.normalize("NFC", last) if each.isprintable())
    return shown.strip()[:_MOST_NAME_CHARACTERS].strip(" .")


@asynccontextmanager
async def _upload_time(limits: LimitsSection) -> AsyncGenerator[None, None]:
    try:
        async with asyncio.timeout(limits.upload_seconds):
            yield
    except TimeoutError:
        raise RequestError(
            408,
            "upload_too_slow",
            f"the upload took longer than {limits.upload_seconds:g} s",
            headers={"Connection": "close"},
        ) from None
    except ClientDisconnect:
        raise malformed("the client went away before its upload was whole") from None


class _Form:
    """Collects a form's parts; the parser calls back as it goes through the bytes."""

    def __init__(self, content_type: str, limits: LimitsSection) -> None:
        self._limits = limits
        self._images: list[bytes] = []
        self._names: list[str] = []
        self._fields: dict[str, str] = {}
        self._data: list[bytes] = []
        self._size = 0
        self._header: tuple[bytearray, bytearray] = (bytearray(), bytearray())
        self._disposition = b""
        self._ended = False
        boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
        if not boundary:
            raise malformed("multipart/form-data without a boundary")
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": lambda data, start, end: self._header[0].extend(
                        data[start:end]
                    ),
                    "on_header_value": lambda data, start, end: self._header[1].extend(
                        data[start:end]
                    ),
                    "on_header_end": self._header_end,
                    "on_headers_finished": self._headers_finished,
                    "on_part_data": self._part_data,
                    "on_part_end": self._part_end,
                    "on_end": self._end,
                },
                max_header_count=_MOST_PART_HEADERS,
                max_header_size=_MOST_HEADER_BYTES,
            )
        except FormParserError:
            raise malformed("the boundary of the form is too long") from None

    def write(self, chunk: bytes) -> None:
        """Go through more bytes of the form."""
        try:
            self._parser.write(chunk)
        except FormParserError:
            raise malformed("the body is no well-formed multipart/form-data") from None

    def upload(self) -> Upload:
        """What the whole form held."""
        if not self._ended:
            raise malformed("the form breaks off before its end")
        if not self._images:
            raise malformed("the form has no part named image")
        return Upload(images=self._images, names=_distinct(self._names), fields=self._fields)

    def _begin(self) -> None:
        self._data, self._size, self._disposition = [], 0, b""
        self._name, self._filename = "", ""

    def _header_end(self) -> None:
        name, value = self._header
        if bytes(name).strip().lower() == b"content-disposition":
            self._disposition = bytes(value)
        self._header = (bytearray(), bytearray())

    def _headers_finished(self) -> None:
        kind, options = parse_options_header(self._disposition)
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        self._filename = options.get(b"filename", b"").decode("utf-8", "replace")
        if kind != b"form-data" or self._name not in {"image", *FIELDS}:
            raise malformed(f"parts of the form are image, {', '.join(FIELDS)}; this has another")
        if self._name == "image" and len(self._images) == self._limits.images:
            raise RequestError(
                413, "too_many_images", f"a request may hold {self._limits.images} images"
            )
        if self._name in self._fields:
            raise malformed(f"the form has {self._name} twice")

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        self._size += end - start
        if self._name != "image" and self._size > _MOST_FIELD_BYTES:
            raise malformed(f"{self._name} is too long")
        self._data.append(data[start:end])

    def _part_end(self) -> None:
        whole = b"".join(self._data)
        self._data = []
        if self._name == "image":
            self._images.append(whole)
            self._names.append(clean_name(self._filename) or f"image {len(self._images)}")
            return
        try:
            self._fields[self._name] = whole.decode("utf-8")
        except UnicodeDecodeError:
            raise malformed(f"{self._name} is no UTF-8") from None

    def _end(self) -> None:
        self._ended = True


def _distinct(names: list[str]) -> list[str]:
    """The names, those that came before with a number behind them."""
    # A dict keeps the order in which its keys came.
    distinct: dict[str, None] = {}
    for name in names:
        number, other = 1, name
        while other in distinct:
            number += 1
            other = f"{name} ({number})"
        distinct[other] = None
    return list(distinct)
