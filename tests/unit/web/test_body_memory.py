"""Share the memory for bodies: which body gets memory, and which one waits."""

import asyncio

import pytest

from camiohookd.web.body_memory import BodyMemory, BodyShare
from camiohookd.web.server.error_responses import Refused


def opened(memory: BodyMemory, *sizes: int) -> list[BodyShare]:
    shares = []
    for size in sizes:
        shares.append(memory.open())
        assert shares[-1].grow_to(size) is None
    return shares


def test_refuses_a_body_that_waits_too_long_for_memory() -> None:
    async def scenario() -> None:
        memory = BodyMemory(100, 60, patience=0.01)
        opened(memory, 60)
        waiting = memory.open().grow_to(41)
        assert waiting is not None
        with pytest.raises(Refused) as refusal:
            await waiting
        assert refusal.value.response.status == 503
        assert refusal.value.response.retry_after

    asyncio.run(scenario())


def test_gives_freed_memory_to_the_oldest_waiting_body() -> None:
    async def scenario() -> None:
        memory = BodyMemory(100, 50, patience=60)
        first, second = opened(memory, 50, 50)
        third, fourth = memory.open(), memory.open()
        turns = []

        async def wait(name: str, share: BodyShare, size: int) -> None:
            waiting = share.grow_to(size)
            assert waiting is not None
            await waiting
            turns.append(name)

        waits = [asyncio.create_task(wait("fourth", fourth, 50)), asyncio.create_task(wait("third", third, 50))]
        await asyncio.sleep(0)
        second.close()
        await asyncio.sleep(0.01)
        assert turns == ["third"]
        first.close()
        await asyncio.gather(*waits)
        assert turns == ["third", "fourth"]

    asyncio.run(scenario())


def test_the_oldest_body_always_gets_its_memory() -> None:
    """Ten at once, each of the largest size, in small steps: all arrive."""

    async def scenario() -> int:
        memory = BodyMemory(250, 100, patience=60)
        most = 0
        shares = [memory.open() for _ in range(10)]

        async def arrive(share: BodyShare) -> None:
            nonlocal most
            for size in range(0, 101, 5):
                if (waiting := share.grow_to(size)) is not None:
                    await waiting
                await asyncio.sleep(0)
                most = max(most, sum(each.held for each in shares))
            share.settle(80)
            await asyncio.sleep(0)
            share.close()

        async with asyncio.timeout(20):
            await asyncio.gather(*map(arrive, shares))
        assert opened(memory, 100, 100), "all of it is free again"
        return most

    assert 200 <= asyncio.run(scenario()) <= 250


def test_closing_a_waiting_share_ends_its_wait() -> None:
    async def scenario() -> None:
        memory = BodyMemory(100, 100, patience=60)
        opened(memory, 100)
        leaving = memory.open()
        waiting = leaving.grow_to(1)
        assert waiting is not None
        task = asyncio.ensure_future(waiting)
        await asyncio.sleep(0)
        leaving.close()
        await task
        assert leaving.held == 0

    asyncio.run(scenario())


def test_reserves_memory_for_the_next_oldest_body_once_the_oldest_has_arrived() -> None:
    memory = BodyMemory(100, 60, patience=60)
    first, second = opened(memory, 10, 20)
    first.settle(5)
    assert second.grow_to(60) is None
