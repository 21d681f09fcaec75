"""Run the simulator: post each event, post it again while the hook is busy, and wait for its labels.

`SimulatedEvent` → POST → 200 → the delivery of its labels → `SimulationResult`. Runs on one event loop.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from camiohookd.camio.simulator import samples
from camiohookd.camio.simulator.contract import ReplyCheck, check_reply
from camiohookd.camio.simulator.events import SimulatedEvent
from camiohookd.camio.simulator.fake_camio import FakeCamio, HookResponse

POSTS_AT_ONCE = 8
DEFAULT_RETRY_SECONDS = 5.0
MIN_RETRY_SECONDS = 0.1
MAX_SHOWN_BODY = 500
NO_RECEIPT = 'the body of the hook\'s 200 is not {"status": "queued" or "duplicate", "id": a string} but'


@dataclass(frozen=True, slots=True)
class SimulationResult:
    """The result of one event.

    Times are in seconds since its first POST; None if the event did not get that far. `response` is the hook's last
    one. `posts` counts the POSTs of the event, `deliveries` those of its labels.
    """

    event_id: str
    images: int
    posts: int = 0
    response: HookResponse | None = None
    accepted_after: float | None = None
    labeled_after: float | None = None
    verdict: ReplyCheck | None = None
    deliveries: int = 0
    problems: tuple[str, ...] = ()

    @property
    def valid(self) -> bool:
        return self.verdict is not None and not self.problems


@dataclass(frozen=True, slots=True)
class Simulation:
    """`hook_url` holds the key; `rate` is events per second, 0: as fast as possible; `timeout` is in seconds."""

    camio: FakeCamio
    hook_url: str
    rate: float
    timeout: float

    async def run(self, events: Iterable[SimulatedEvent], done: Callable[[], None]) -> list[SimulationResult]:
        """Send all `events`, call `done` after each, and return the results in the order of `events`."""
        tasks: list[asyncio.Task[SimulationResult]] = []
        slots = asyncio.Semaphore(POSTS_AT_ONCE)
        starts = time.monotonic()
        for nth, event in enumerate(events):
            if self.rate:
                await asyncio.sleep(starts + nth / self.rate - time.monotonic())
            await slots.acquire()
            tasks.append(asyncio.create_task(self._send(event, slots, done)))
        results = await asyncio.gather(*tasks)
        # Count at the end: a repeated delivery may come at any time.
        return [replace(one, deliveries=len(self.camio.deliveries[one.event_id])) for one in results]

    async def _send(
        self, event: SimulatedEvent, slots: asyncio.Semaphore, done: Callable[[], None]
    ) -> SimulationResult:
        started = time.monotonic()
        try:
            result = await self._post(event, started)
        finally:
            slots.release()
        if result.accepted_after is not None:
            result = await self._labels(event, result, started)
        done()
        return result

    async def _post(self, event: SimulatedEvent, started: float) -> SimulationResult:
        body = event.body(self.camio.callback_url(event.id))
        result = SimulationResult(event.id, len(event.pictures))
        while True:
            left = max(started + self.timeout - time.monotonic(), 0.01)
            try:
                response = await self.camio.post(self.hook_url, body, left)
            except OSError as error:
                return replace(result, posts=result.posts + 1, problems=(f"the hook did not answer: {error}",))
            result = replace(result, posts=result.posts + 1, response=response)
            if response.status == 200:
                problems = () if _is_receipt(response.body) else (f"{NO_RECEIPT}: {_text(response)}",)
                return replace(result, accepted_after=time.monotonic() - started, problems=problems)
            wait = _retry_after(response)
            if response.status != 503 or time.monotonic() + wait > started + self.timeout:
                return replace(result, problems=(f"the hook answered {response.status}: {_text(response)}",))
            await asyncio.sleep(wait)

    async def _labels(self, event: SimulatedEvent, result: SimulationResult, started: float) -> SimulationResult:
        try:
            delivery = await self.camio.labels_of(event.id, self.timeout)
        except TimeoutError:
            late = f"no labels came within {self.timeout:g} s of the 200"
            return replace(result, problems=(*result.problems, late))
        verdict = check_reply(delivery.body, event.objects())
        problems = [*result.problems, *verdict.problems]
        if delivery.content_type.partition(";")[0].strip().lower() != "application/json":
            problems.append(f"the Content-Type is {delivery.content_type!r}, not application/json")
        labeled_after = delivery.at - started
        return replace(result, labeled_after=labeled_after, verdict=verdict, problems=tuple(problems))


def why_implausible(results: Sequence[SimulationResult]) -> str | None:
    """Return what is wrong with all valid replies taken together, in words; None if nothing is."""
    verdicts = [result.verdict for result in results if result.verdict and result.valid]
    if not verdicts:
        return None
    labels = {label for verdict in verdicts for label in verdict.labels}
    return samples.why_implausible([verdict.sightings for verdict in verdicts], labels)


def _is_receipt(body: bytes) -> bool:
    """Return whether `body` is a receipt as section 3 of the wire contract describes it."""
    try:
        receipt = json.loads(body)
    except (ValueError, RecursionError):
        return False
    if not isinstance(receipt, dict) or not isinstance(receipt.get("id"), str):
        return False
    return receipt["id"] != "" and receipt.get("status") in ("queued", "duplicate")


def _retry_after(response: HookResponse) -> float:
    text = response.headers.get("Retry-After", "")
    return max(float(text), MIN_RETRY_SECONDS) if text.isascii() and text.isdigit() else DEFAULT_RETRY_SECONDS


def _text(response: HookResponse) -> str:
    """Return the message of the hook's error, or the beginning of the body if another server responded."""
    try:
        return str(json.loads(response.body)["error"]["message"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return response.body[:MAX_SHOWN_BODY].decode("utf-8", "replace")
