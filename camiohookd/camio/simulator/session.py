"""One run of the simulator: each event is posted, tried again while the hook is busy, and its labels are awaited.

`SimulatedEvent` → POST → 200 → the delivery of its labels → `SimulationResult`. Runs on one event loop.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from camiohookd.camio.simulator import samples
from camiohookd.camio.simulator.contract import Verdict, check_reply
from camiohookd.camio.simulator.events import SimulatedEvent
from camiohookd.camio.simulator.fake_camio import FakeCamio, HookResponse

POSTS_AT_ONCE = 8
DEFAULT_RETRY_SECONDS = 5.0
MIN_RETRY_SECONDS = 0.1
MAX_SHOWN_ANSWER = 500
NO_RECEIPT = 'the body of the hook\'s 200 is not {"status": "queued" or "duplicate", "id": a string} but'


@dataclass(frozen=True, slots=True)
class SimulationResult:
    """What came of one event; times are seconds since its first POST, None where it did not come so far.

    `posts` counts the POSTs that the hook needed to take it, `deliveries` those of its labels.
    """

    event_id: str
    images: int
    posts: int = 0
    answer: HookResponse | None = None
    accepted_after: float | None = None
    labelled_after: float | None = None
    verdict: Verdict | None = None
    deliveries: int = 0
    problems: tuple[str, ...] = ()

    @property
    def valid(self) -> bool:
        return self.verdict is not None and not self.problems


@dataclass(frozen=True, slots=True)
class Simulation:
    """`hook_url` holds the key; `rate` is events a second, 0 for as fast as the hook takes them; `timeout` seconds."""

    camio: FakeCamio
    hook_url: str
    rate: float
    timeout: float

    async def run(self, events: Iterable[SimulatedEvent], done: Callable[[], None]) -> list[SimulationResult]:
        """Send all `events`, call `done` as each one ends, and return their results in the order of `events`."""
        tasks: list[asyncio.Task[SimulationResult]] = []
        slots = asyncio.Semaphore(POSTS_AT_ONCE)
        starts = time.monotonic()
        for nth, event in enumerate(events):
            if self.rate:
                await asyncio.sleep(starts + nth / self.rate - time.monotonic())
            await slots.acquire()
            tasks.append(asyncio.create_task(self._send(event, slots, done)))
        results = await asyncio.gather(*tasks)
        # Counted last: a second delivery may come at any time until now.
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
                answer = await self.camio.post(self.hook_url, body, left)
            except OSError as error:
                return replace(result, posts=result.posts + 1, problems=(f"the hook did not answer: {error}",))
            result = replace(result, posts=result.posts + 1, answer=answer)
            if answer.status == 200:
                problems = () if _is_receipt(answer.body) else (f"{NO_RECEIPT}: {_text(answer)}",)
                return replace(result, accepted_after=time.monotonic() - started, problems=problems)
            wait = _retry_after(answer)
            if answer.status != 503 or time.monotonic() + wait > started + self.timeout:
                return replace(result, problems=(f"the hook answered {answer.status}: {_text(answer)}",))
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
        labelled_after = delivery.at - started
        return replace(result, labelled_after=labelled_after, verdict=verdict, problems=tuple(problems))


def doubt(results: Sequence[SimulationResult]) -> str | None:
    """Say what speaks against the hook in all valid replies together, or what they leave open; None if nothing does."""
    verdicts = [result.verdict for result in results if result.verdict and result.valid]
    if not verdicts:
        return None
    labels = {label for verdict in verdicts for label in verdict.labels}
    return samples.doubt([verdict.sightings for verdict in verdicts], labels)


def _is_receipt(body: bytes) -> bool:
    """`body` is what the hook's own endpoint answers to an event: section 3 of the wire contract."""
    try:
        receipt = json.loads(body)
    except (ValueError, RecursionError):
        return False
    if not isinstance(receipt, dict) or not isinstance(receipt.get("id"), str):
        return False
    return receipt["id"] != "" and receipt.get("status") in ("queued", "duplicate")


def _retry_after(answer: HookResponse) -> float:
    text = answer.headers.get("Retry-After", "")
    return max(float(text), MIN_RETRY_SECONDS) if text.isascii() and text.isdigit() else DEFAULT_RETRY_SECONDS


def _text(answer: HookResponse) -> str:
    """Return the message of the hook's error, or, from another server, the beginning of what it said."""
    try:
        return str(json.loads(answer.body)["error"]["message"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return answer.body[:MAX_SHOWN_ANSWER].decode("utf-8", "replace")
