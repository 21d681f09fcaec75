"""The loop of alerts: it looks, tells, tries again, and never waits for a channel."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

from camiohookd.monitoring.notify.conditions import Key, troubles
from camiohookd.monitoring.notify.ledger import Ledger, Notice
from camiohookd.monitoring.notify.notifier import MOST_WAITING, Notifier
from tests.unit.monitoring.notify.test_ledger import LIMITS, WELL

PATIENCE = 30.0


class Recorder:
    """A channel that fails the first `failures` times."""

    name = "recorder"

    def __init__(self, failures: int = 0, *, hangs: bool = False) -> None:
        self.told: list[Notice] = []
        self.tries = 0
        self._failures = failures
        self._hangs = hangs

    async def tell(self, notice: Notice) -> str | None:
        self.tries += 1
        if self._hangs:
            await asyncio.Event().wait()
        if self.tries <= self._failures:
            return "no route to host"
        self.told.append(notice)
        return None


class Box:
    def __init__(self, *channels: Recorder) -> None:
        self.facts = WELL
        self.problem: Exception | None = None
        self.looks = 0
        self.notifier = Notifier(self._troubles, Ledger("box", settle=0), channels, every=0.005, pauses=(0, 0))

    def _troubles(self) -> Mapping[Key, str]:
        self.looks += 1
        if self.problem is not None:
            raise self.problem
        return troubles(self.facts, LIMITS)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(0.001)


def test_notifies_each_channel_of_the_begin_and_the_end_of_trouble() -> None:
    async def run() -> None:
        one, other = Recorder(), Recorder(failures=2)
        box = Box(one, other)
        box.notifier.start()
        box.facts = replace(WELL, degraded=True)
        await box.until(lambda: len(one.told) == len(other.told) == 1)
        box.facts = WELL
        await box.until(lambda: len(one.told) == len(other.told) == 2)
        assert [notice.state for notice in one.told] == ["begins", "over"]
        await box.notifier.stop()

    asyncio.run(run())


def test_gives_a_notice_up_after_three_tries() -> None:
    async def run() -> None:
        channel = Recorder(failures=3)
        box = Box(channel)
        box.notifier.start()
        box.facts = replace(WELL, degraded=True)
        await box.until(lambda: channel.tries == 3)
        box.facts = WELL
        await box.until(lambda: len(channel.told) == 1)
        assert channel.told[0].state == "over"
        await box.notifier.stop()

    asyncio.run(run())


def test_a_channel_that_hangs_holds_up_neither_the_other_nor_the_stop() -> None:
    async def run() -> None:
        hanging, other = Recorder(hangs=True), Recorder()
        box = Box(hanging, other)
        box.notifier.start()
        box.facts = replace(WELL, silent={str(number): 0.0 for number in range(MOST_WAITING)})
        await box.until(lambda: len(other.told) == MOST_WAITING)
        box.facts = WELL  # more than the outbox of the one that hangs takes
        await box.until(lambda: len(other.told) == 2 * MOST_WAITING)
        assert hanging.tries == 1
        async with asyncio.timeout(PATIENCE):
            await box.notifier.stop()

    asyncio.run(run())


def test_an_error_while_looking_does_not_end_it() -> None:
    async def run() -> None:
        channel = Recorder()
        box = Box(channel)
        box.problem = RuntimeError("a bug")
        box.notifier.start()
        await box.until(lambda: box.looks == 2)
        box.problem = None
        box.facts = replace(WELL, degraded=True)
        await box.until(lambda: len(channel.told) == 1)
        await box.notifier.stop()

    asyncio.run(run())
