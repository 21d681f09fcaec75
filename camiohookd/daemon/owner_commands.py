"""Answer what the owner asks on the control socket: the queue's commands, and those of the daemon itself.

Belongs to the event loop.
"""

import time

from camiohookd.daemon.status_report import Reporter
from camiohookd.delivery import AllowList
from camiohookd.errors import CallbackNotAllowed, PayloadError
from camiohookd.monitoring.activity import Activity, EventDropped, EventRetried
from camiohookd.queue import commands
from camiohookd.queue.store_thread import StoreThread
from camiohookd.queue.task import State
from camiohookd.queue.views import TaskDetails
from camiohookd.web.control_commands import (
    Allowed,
    AllowTestCallback,
    AskStatus,
    Command,
    Drain,
    DrainProgress,
    ExpectNonce,
    OwnResult,
    Proof,
)
from camiohookd.web.draining import Draining
from camiohookd.web.nonces import Nonces

TEST_SECONDS = 120.0
"""How long labels may be sent to the origin of a test."""


class OwnerCommands:
    """Answers commands; `answer` is a `web.control.Answer`."""

    def __init__(
        self,
        store: StoreThread,
        activity: Activity,
        reporter: Reporter,
        nonces: Nonces,
        allow_list: AllowList,
        draining: Draining,
    ) -> None:
        self._store = store
        self._activity = activity
        self._reporter = reporter
        self._nonces = nonces
        self._allow_list = allow_list
        self._draining = draining

    async def answer(self, command: Command) -> commands.CommandResult | OwnResult:
        """Do what `command` asks for. Raises NoSuchTask, WrongState, PayloadError."""
        match command:
            case AskStatus():
                return self._reporter.report()
            case ExpectNonce():
                return Proof(self._nonces.expect(command.nonce))
            case AllowTestCallback():
                try:
                    self._allow_list.allow_for_a_test(command.origin, TEST_SECONDS)
                except CallbackNotAllowed as error:
                    raise PayloadError("callback_not_allowed", str(error)) from error
                return Allowed(TEST_SECONDS)
            case Drain():
                return await self._drain(command)
            case _:
                return await perform(self._store, self._activity, command)

    async def _drain(self, command: Drain) -> DrainProgress:
        if command.on:
            self._draining.begin(command.grace)
        elif command.on is not None:
            self._draining.end()
        # Before counting: it may begin to refuse them meanwhile.
        is_on, refuses = self._draining.is_on, self._draining.refuses
        # An event that was taken before is already waiting for the store thread, and is counted.
        counts = await self._store.call(lambda queue: dict(queue.tasks.counts))
        return DrainProgress(is_on, refuses, counts[State.PENDING], counts[State.LABELLED])


async def perform(store: StoreThread, activity: Activity, command: commands.Command) -> commands.CommandResult:
    """Do what the owner asks of the queue, and publish what that changed. Raises NoSuchTask, WrongState."""
    result = await store.call(lambda queue: commands.perform(queue, command))
    now = time.time()
    match command, result:
        case commands.RetryTask(), TaskDetails():
            activity.publish(EventRetried(result.id, result.camera, now))
        case commands.RetryFailed(), commands.Retried():
            for task_id in result.ids:
                activity.publish(EventRetried(task_id, None, now))
        case commands.DropTask(), TaskDetails():
            activity.publish(EventDropped(result.id, result.camera, now))
    return result
