"""Batcher: questions that wait while the model works go through it together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Thread
from typing import Generic, TypeVar

Question = TypeVar("Question")
Reply = TypeVar("Reply")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting(Generic[Question, Reply]):
    question: Question
    size: int
    since_s: float
    reply: asyncio.Future[Reply]


class Batcher(Generic[Question, Reply]):
    """Gathers questions into batches and has them answered one batch at a time, in one thread.

    A batch is what waits when the model becomes free; only where that is less than `most` does the
    oldest question wait up to `wait_s` for company. Questions whose asker has gone are left out. A
    batch that fails as a whole is asked again question by question: one bad question is nobody
    else's.

    Args:
        work: answers a batch, a reply or an exception a question, in order; runs in a thread of
            the batcher's own.
        most: the sum of the questions' sizes in a batch; a larger question goes alone.
        wait_s: how long a question waits for company, in seconds.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Question]], Sequence[Reply | Exception]],
        *,
        most: int,
        wait_s: float,
    ) -> None:
        self._work = work
        self._most = most
        self._wait_s = wait_s
        self._waiting: deque[_Waiting[Question, Reply]] = deque()
        self._came = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="geoloc-model")
        self._loop_task: asyncio.Task[None] | None = None

    def start(self, died: Callable[[BaseException], None]) -> None:
        """Begin to answer, in the running event loop.

        Args:
            died: told why, should it ever end by itself.
        """

        def ended(task: asyncio.Task[None]) -> None:
            error = None if task.cancelled() else task.exception()
            if error is not None:
                died(error)

        self._loop_task = asyncio.get_running_loop().create_task(self._run())
        self._loop_task.add_done_callback(ended)

    async def close(self, *, within_s: float) -> bool:
        """End; what still waits is cancelled.

        Args:
            within_s: how long what the thread has begun may take.

        Returns:
            Whether the thread has ended, too.
        """
        if self._loop_task is not None:
            self._loop_task.cancel()
            await asyncio.gather(self._loop_task, return_exceptions=True)
        for each in self._waiting:
            each.reply.cancel()
        self._waiting.clear()
        return await end_threads(self._thread, within_s=within_s)

    async def ask(self, question: Question, *, size: int) -> Reply:
        """The reply to a question.

        Args:
            question: for `work`.
            size: how much of a batch it takes.

        Raises:
            Exception: whatever `work` gave or raised for it.
        """
        loop = asyncio.get_running_loop()
        waiting: _Waiting[Question, Reply] = _Waiting(
            question=question, size=size, since_s=loop.time(), reply=loop.create_future()
        )
        self._waiting.append(waiting)
        self._came.set()
        return await waiting.reply

    async def first(self, work: Callable[[], None]) -> None:
        """Run something else in the thread of the model: loading it, before there are questions."""
        await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _run(self) -> None:
        while True:
            await self._company()
            batch = self._next_batch()
            if batch:
                await self._answer(batch)

    async def _company(self) -> None:
        """Wait until a batch is full, or its oldest question has waited long enough."""
        loop = asyncio.get_running_loop()
        while True:
            self._came.clear()
            if not self._waiting:
                await self._came.wait()
                continue
            left_s = self._waiting[0].since_s + self._wait_s - loop.time()
            if left_s <= 0 or sum(each.size for each in self._waiting) >= self._most:
                return
            try:
                async with asyncio.timeout(left_s):
                    await self._came.wait()
            except TimeoutError:
                return

    def _next_batch(self) -> list[_Waiting[Question, Reply]]:
        batch: list[_Waiting[Question, Reply]] = []
        size = 0
        while self._waiting and (not batch or size + self._waiting[0].size <= self._most):
            first = self._waiting.popleft()
            if not first.reply.done():
                batch.append(first)
                size += first.size
        return batch

    async def _answer(self, batch: Sequence[_Waiting[Question, Reply]]) -> None:
        replies = await self._replies([each.question for each in batch])
        for each, reply in zip(batch, replies, strict=True):
            if each.reply.done():
                continue
            if isinstance(reply, Exception):
                each.reply.set_exception(reply)
            else:
                each.reply.set_result(reply)

    async def _replies(self, questions: Sequence[Question]) -> Sequence[Reply | Exception]:
        loop = asyncio.get_running_loop()
        try:
            replies = await loop.run_in_executor(self._thread, self._work, questions)
            if len(replies) != len(questions):
                raise RuntimeError(f"{len(questions)} questions had {len(replies)} replies")
        except Exception as error:
            if len(questions) == 1:
                return [error]
            return [reply for each in questions for reply in await self._replies([each])]
        return replies


async def end_threads(pool: ThreadPoolExecutor, *, within_s: float) -> bool:
    """Let a pool begin nothing more, and wait a while for what it has begun.

    Args:
        pool: that is no longer needed.
        within_s: how long is waited.

    Returns:
        Whether its threads have ended.
    """
    # Threads cannot be stopped, and asyncio's own executor would be waited for at the end.
    joiner = Thread(target=lambda: pool.shutdown(cancel_futures=True), daemon=True)
    joiner.start()
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + within_s
    while joiner.is_alive() and loop.time() < deadline_s:
        await asyncio.sleep(0.005)
    return not joiner.is_alive()
