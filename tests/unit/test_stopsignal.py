import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from camiohookd.stopsignal import StopSignal

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@pytest.fixture
def stop() -> Iterator[StopSignal]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield StopSignal()
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_before_the_event_loop_interrupts_nothing_and_is_known_on_it(
    stop: StopSignal, number: signal.Signals
) -> None:
    async def is_known() -> bool:
        return stop.event().is_set()

    assert not stop.came
    os.kill(os.getpid(), number)
    assert stop.came
    assert asyncio.run(is_known())


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_on_the_event_loop_sets_the_event(stop: StopSignal, number: signal.Signals) -> None:
    async def wait() -> None:
        event = stop.event()
        assert not event.is_set()
        os.kill(os.getpid(), number)
        async with asyncio.timeout(30):
            await event.wait()

    asyncio.run(wait())
