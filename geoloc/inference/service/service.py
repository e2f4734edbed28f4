"""Service: takes requests in, has their images decoded and answered, and gives documents back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from time import perf_counter
from typing import Any

from starlette.requests import Request

from geoloc.errors import GeolocError
from geoloc.inference.answers import Refusal
from geoloc.inference.formats import SCHEMA_VERSION, refusal_json
from geoloc.inference.geolocator import Geolocator
from geoloc.inference.prepared import PreparedImage
from geoloc.inference.service.asking import (
    Asking,
    ExplainQuestion,
    ImageQuestion,
    Question,
    Reply,
    TextQuestion,
)
from geoloc.inference.service.batching import Batcher, end_threads
from geoloc.inference.service.failures import (
    RequestError,
    busy,
    malformed,
    no_text_tower,
    where,
)
from geoloc.inference.service.limits import Allowance
from geoloc.inference.service.metrics import Metrics
from geoloc.inference.service.options import answer_options
from geoloc.inference.service.settings import ServiceSettings
from geoloc.inference.service.uploads import Upload, body_stream, read_upload, read_whole

logger = logging.getLogger("geoloc.service")

_LAST_SECONDS = 5.0


class Service:
    """All that lives as long as the server: the model, the batches, the threads, the counts.

    Args:
        settings: of the service.
        load: gives the geolocator, in the model's thread, while the server already listens.
        failed: told why the model cannot be loaded, or has stopped.
        stuck: told that a thread could not be waited for at the end.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        load: Callable[[], Geolocator],
        *,
        failed: Callable[[BaseException], None] | None = None,
        stuck: Callable[[], None] | None = None,
    ) -> None:
        limits = settings.limits
        self.settings = settings
        self.metrics = Metrics()
        self.asking = Asking(load, coarse_km=settings.coarse_km, megapixels=limits.megapixels)
        self.ready = False
        self._broken = False
        self._failed = failed
        self._stuck = stuck
        self._memory = Allowance(int(1e6 * limits.memory_megabytes))
        self._queue = Allowance(limits.queue_images)
        self._explaining = Allowance(1)
        self.metrics.queue.set_function(lambda: self._queue.taken)
        self._batcher: Batcher[Question, Reply] = Batcher(
            self._timed_answer,
            most=settings.batching.images,
            wait_s=1e-3 * settings.batching.wait_ms,
        )
        self._decoders = ThreadPoolExecutor(
            settings.batching.decoding_threads, thread_name_prefix="geoloc-decode"
        )

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None, None]:
        """Load the model in the background, answer until the context ends."""
        self._batcher.start(self._break)
        opening = asyncio.get_running_loop().create_task(self._open())
        try:
            yield
        finally:
            self.ready = False
            opening.cancel()
            within_s = min(_LAST_SECONDS, self.settings.shutdown_seconds)
            ended = await asyncio.gather(
                self._batcher.close(within_s=within_s),
                end_threads(self._decoders, within_s=within_s),
            )
            if not all(ended) and self._stuck is not None:
                self._stuck()

    def check_ready(self) -> None:
        """Refuse while the model is being loaded, or once it has stopped.

        Raises:
            RequestError: 503.
        """
        if self._broken:
            raise busy("not_ready", "the model has stopped: the log says why", retry_after_s=30)
        if not self.ready:
            raise busy("not_ready", "the model is being loaded: try again soon", retry_after_s=5)

    async def locate(self, request: Request) -> tuple[int, dict[str, Any]]:
        """The status and the document that answer a request with images.

        Raises:
            RequestError: nothing of it can be answered.
        """
        self._check_room()
        limits = self.settings.limits
        async with self._images_stream(request) as stream:
            upload = await read_upload(request, stream, limits)
            options = answer_options(upload.fields, most_top_k=limits.top_k)
            async with self._taken(self._queue, len(upload.images)), self._answer_time():
                opened = await self._decode(upload)
                good = tuple(each for each in opened if isinstance(each, PreparedImage))
                answers: Reply = []
                if good:
                    question = ImageQuestion(images=good, options=options)
                    answers = await self._batcher.ask(question, size=len(good))
        refusals = [each for each in opened if isinstance(each, Refusal)]
        self.metrics.images.inc(len(good))
        for refusal in refusals:
            self.metrics.refusals.labels(refusal.kind).inc()
        return (200 if answers else 422), _document(answers, refusals)

    async def explain(self, request: Request) -> tuple[int, dict[str, Any]]:
        """The status and the occlusion map of one image, or the document that refuses it.

        Raises:
            RequestError: nothing of it can be answered.
        """
        self._check_room()
        limits = self.settings.limits
        async with self._images_stream(request) as stream:
            upload = await read_upload(request, stream, limits)
            if len(upload.images) != 1 or upload.fields:
                raise malformed("to be explained, send one image and nothing else")
            # It is many images' work: it goes through the model alone, and counts as a full batch.
            cost = min(self.settings.batching.images, limits.queue_images)
            async with (
                self._taken(self._explaining, 1),
                self._taken(self._queue, cost),
                self._answer_time(),
            ):
                (opened,) = await self._decode(upload)
                if isinstance(opened, Refusal):
                    self.metrics.refusals.labels(opened.kind).inc()
                    return 422, _document([], [opened])
                question = ExplainQuestion(data=upload.images[0], name=upload.names[0])
                size = self.settings.batching.images
                (told,) = await self._batcher.ask(question, size=size)
        return 200, told

    async def places(self, texts: tuple[str, ...], top_k: int) -> dict[str, Any]:
        """The document that answers texts.

        Raises:
            RequestError: 501 the model has no text tower; 503, 504 as for images.
        """
        self._check_room()
        async with self._taken(self._queue, len(texts)), self._answer_time():
            question = TextQuestion(texts=texts, top_k=top_k)
            return _document(await self._batcher.ask(question, size=len(texts)), [])

    async def words(self, request: Request) -> bytes:
        """The whole body of a question in words.

        Raises:
            RequestError: 503, 501 such questions cannot be answered, whatever the body is; and as
                `body_stream`.
        """
        self._check_room()
        if not self.asking.takes_texts:
            raise no_text_tower()
        limits = self.settings.limits
        most = limits.words_megabytes
        async with body_stream(request, limits, self._memory, most_megabytes=most) as stream:
            return await read_whole(stream, limits)

    def _images_stream(self, request: Request) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        limits = self.settings.limits
        most = limits.request_megabytes
        return body_stream(request, limits, self._memory, most_megabytes=most)

    def _check_room(self) -> None:
        """Refuse, before a body is read, what could not be answered anyway."""
        self.check_ready()
        self._queue.take(1)
        self._queue.give_back(1)

    @asynccontextmanager
    async def _taken(self, allowance: Allowance, count: int) -> AsyncGenerator[None, None]:
        allowance.take(count)
        try:
            yield
        finally:
            allowance.give_back(count)

    async def _decode(self, upload: Upload) -> list[PreparedImage | Refusal]:
        loop = asyncio.get_running_loop()
        return await asyncio.gather(
            *(
                loop.run_in_executor(self._decoders, self.asking.prepare, data, name)
                for data, name in zip(upload.images, upload.names, strict=True)
            )
        )

    @asynccontextmanager
    async def _answer_time(self) -> AsyncGenerator[None, None]:
        try:
            async with asyncio.timeout(self.settings.limits.answer_seconds):
                yield
        except TimeoutError:
            raise RequestError(
                504,
                "took_too_long",
                f"no answer within {self.settings.limits.answer_seconds:g} s: try again later",
            ) from None

    async def _open(self) -> None:
        try:
            await self._batcher.first(self.asking.open)
        except Exception as error:
            self._break(error)
            return
        self.ready = True
        self.metrics.ready.set(1)
        logger.info("ready")

    def _break(self, error: BaseException) -> None:
        """Say that the model cannot be asked any more, and why."""
        self.ready = False
        self._broken = True
        self.metrics.ready.set(0)
        # What is told to somebody who will say it need not be in the log as well.
        if self._failed is None or not isinstance(error, GeolocError):
            logger.error("the model has stopped: %s at %s", type(error).__name__, where(error))
        if self._failed is not None:
            self._failed(error)

    def _timed_answer(self, questions: Any) -> Any:
        began_s = perf_counter()
        replies = self.asking.answer(questions)
        self.metrics.model_seconds.observe(perf_counter() - began_s)
        images = sum(len(each.images) for each in questions if isinstance(each, ImageQuestion))
        if images:
            self.metrics.batch_images.observe(images)
        return replies


def _document(answers: Reply, refusals: list[Refusal]) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "answers": answers,
        "refusals": [refusal_json(each) for each in refusals],
    }
