import asyncio
import random
import threading
import time

import pytest

from geoloc.inference.service.batching import Batcher


def run(scene):
    return asyncio.run(scene())


def batcher_of(work, *, most=8, wait_s=0.0):
    batcher = Batcher(work, most=most, wait_s=wait_s)
    batcher.start(lambda error: pytest.fail(repr(error)))
    return batcher


def test_everybody_has_their_own_reply_and_no_batch_is_too_large():
    sizes, threads = [], set()

    def work(questions):
        threads.add(threading.current_thread().name)
        sizes.append(sum(size for _, size in questions))
        time.sleep(0.001)
        return [number * 10 for number, _ in questions]

    async def scene():
        batcher = batcher_of(work)
        draw = random.Random(3)

        async def client(number):
            await asyncio.sleep(draw.random() * 0.03)
            size = draw.randint(1, 5)
            return await batcher.ask((number, size), size=size)

        replies = await asyncio.gather(*(client(number) for number in range(200)))
        await batcher.close(within_s=5.0)
        return replies

    assert run(scene) == [number * 10 for number in range(200)]
    assert max(sizes) <= 8
    assert len(sizes) < 200
    assert len(threads) == 1


def test_what_came_while_the_model_worked_goes_together_at_once():
    batches, free = [], threading.Event()

    def work(questions):
        batches.append(list(questions))
        free.wait(5)
        return list(questions)

    async def scene():
        batcher = batcher_of(work)
        first = asyncio.ensure_future(batcher.ask(0, size=1))
        while not batches:
            await asyncio.sleep(0.001)
        rest = [asyncio.ensure_future(batcher.ask(number, size=1)) for number in (1, 2, 3)]
        await asyncio.sleep(0)
        free.set()
        await asyncio.gather(first, *rest)
        await batcher.close(within_s=5.0)

    run(scene)
    assert batches == [[0], [1, 2, 3]]


def test_a_lone_question_waits_for_company_but_a_full_batch_does_not():
    batches = []

    def work(questions):
        batches.append(list(questions))
        return list(questions)

    async def scene():
        batcher = batcher_of(work, most=2, wait_s=30.0)
        async with asyncio.timeout(15.0):
            await asyncio.gather(batcher.ask(1, size=1), batcher.ask(2, size=1))
        lone = asyncio.ensure_future(batcher.ask(3, size=1))
        await asyncio.sleep(0.02)
        waited = not lone.done()
        await batcher.close(within_s=5.0)
        await asyncio.wait([lone], timeout=15.0)
        return waited, lone.cancelled()

    assert run(scene) == (True, True)
    assert batches == [[1, 2]]


def test_a_question_larger_than_a_batch_goes_alone():
    batches = []

    def work(questions):
        batches.append(list(questions))
        return list(questions)

    async def scene():
        batcher = batcher_of(work, most=2)
        await asyncio.gather(batcher.ask("big", size=9), batcher.ask("small", size=1))
        await batcher.close(within_s=5.0)

    run(scene)
    assert batches == [["big"], ["small"]]


def test_a_bad_question_is_nobody_elses():
    def work(questions):
        if "bomb" in questions:
            raise MemoryError
        return [ValueError(each) if each == "bad" else each for each in questions]

    async def scene():
        batcher = batcher_of(work, wait_s=0.01)
        mixed = await asyncio.gather(
            *(batcher.ask(each, size=1) for each in ("good", "bad")), return_exceptions=True
        )
        broken = await asyncio.gather(
            *(batcher.ask(each, size=1) for each in ("good", "bomb")), return_exceptions=True
        )
        after = await batcher.ask("good", size=1)
        await batcher.close(within_s=5.0)
        return mixed, broken, after

    mixed, broken, after = run(scene)
    assert mixed[0] == "good"
    assert isinstance(mixed[1], ValueError)
    assert broken[0] == "good"
    assert isinstance(broken[1], MemoryError)
    assert after == "good"


def test_a_question_whose_asker_has_gone_is_left_out():
    asked, free = [], threading.Event()

    def work(questions):
        asked.extend(questions)
        free.wait(5)
        return list(questions)

    async def scene():
        batcher = batcher_of(work)
        first = asyncio.ensure_future(batcher.ask("first", size=1))
        while not asked:
            await asyncio.sleep(0.001)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await batcher.ask("gone", size=1)
        free.set()
        await first
        await batcher.ask("last", size=1)
        await batcher.close(within_s=5.0)

    run(scene)
    assert asked == ["first", "last"]


def test_the_end_waits_for_the_thread_but_not_for_ever():
    free = threading.Event()

    async def scene(within_s):
        batcher = Batcher(list, most=1, wait_s=0.0)
        batcher.start(lambda error: None)
        first = asyncio.ensure_future(batcher.first(lambda: free.wait(20)))
        await asyncio.sleep(0.01)
        ended = await batcher.close(within_s=within_s)
        first.cancel()
        return ended

    assert run(lambda: scene(0.1)) is False
    free.set()
    assert run(lambda: scene(20.0)) is True


def test_a_batcher_that_ends_by_itself_says_so():
    class Odd(int):
        """A size that cannot be added up."""

        __add__ = __radd__ = None

    died = []

    async def scene():
        batcher = Batcher(list, most=2, wait_s=1.0)
        batcher.start(died.append)
        asked = asyncio.ensure_future(batcher.ask("a", size=Odd(1)))
        while not died:
            await asyncio.sleep(0.001)
        await batcher.close(within_s=5.0)
        return asked.cancelled()

    run(scene)
    assert isinstance(died[0], TypeError)
