from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from geoloc.training.interruption import StopSignals

WISHES = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)


@pytest.fixture(params=WISHES)
def number(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    """A signal that nobody heeds outside."""
    before = signal.signal(request.param, signal.SIG_IGN)
    yield request.param
    signal.signal(request.param, before)


def test_a_signal_becomes_a_wish_and_the_handler_is_put_back(number: signal.Signals):
    with StopSignals() as stop:
        assert stop.received is None
        os.kill(os.getpid(), number)
        assert stop.received == number
    assert stop.received == number
    assert signal.getsignal(number) is signal.SIG_IGN


def test_a_second_sigint_interrupts_for_real():
    with StopSignals() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.received == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_outside_the_main_thread_nothing_is_installed():
    errors: list[BaseException] = []

    def body() -> None:
        try:
            with StopSignals() as stop:
                stop.request()
                assert stop.received == signal.SIGTERM
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert errors == []


def test_a_forked_child_leaves_the_signal_to_its_owner(monkeypatch: pytest.MonkeyPatch):
    with StopSignals() as stop:
        monkeypatch.setattr("os.getpid", lambda: 424242)
        for number in (*WISHES, signal.SIGINT):
            signal.raise_signal(number)
        assert stop.received is None
