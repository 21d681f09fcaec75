import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from camiohookd.system.signals import NoticedSignal, Signals

NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@pytest.fixture
def signals() -> Iterator[Signals]:
    before = {number: signal.getsignal(number) for number in NUMBERS}
    yield Signals()
    for number, handler in before.items():
        signal.signal(number, handler)


def that_of(number: signal.Signals, signals: Signals) -> NoticedSignal:
    return signals.reload if number == signal.SIGHUP else signals.stop


@pytest.mark.parametrize("number", NUMBERS)
def test_remembers_a_signal_that_arrived_before_the_event_loop(signals: Signals, number: signal.Signals) -> None:
    async def are_known() -> list[bool]:
        return [each.event().is_set() for each in (signals.stop, signals.reload)]

    assert not signals.stop.came
    assert not signals.reload.came
    os.kill(os.getpid(), number)
    assert that_of(number, signals).came
    assert asyncio.run(are_known()) == [number != signal.SIGHUP, number == signal.SIGHUP]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_on_the_event_loop_sets_the_event(signals: Signals, number: signal.Signals) -> None:
    async def wait() -> None:
        event = that_of(number, signals).event()
        assert not event.is_set()
        os.kill(os.getpid(), number)
        async with asyncio.timeout(30):
            await event.wait()

    asyncio.run(wait())
