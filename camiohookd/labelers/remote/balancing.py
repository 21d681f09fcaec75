"""Choose an inference server: the working one with the fewest outstanding requests; after a failure, another one."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from camiohookd.errors import CamiohookdError, LabelerDown, LabelingError, ModelError, SetupError
from camiohookd.labelers.remote.endpoint import ServerRefused
from camiohookd.labelers.remote.server import Server
from camiohookd.labelers.remote.unusable import Unusable

T = TypeVar("T")

_ABOUT_THE_REQUEST = (400, 413, 415, 422, 500)


class Balancer:
    """Sends requests to `servers`; any thread may ask.

    A request that fails is sent again up to `retries` times. `alike` says that all requests have the same form: then
    one that is refused says nothing about the event, and the event waits. Otherwise the event is the reason if the
    server that refuses it answers the request of the trial.
    """

    def __init__(self, servers: Sequence[Server], retries: int, *, alike: bool) -> None:
        self._servers = servers
        self._retries = retries
        self._alike = alike
        self._lock = threading.Lock()
        self._last = threading.local()

    @property
    def last(self) -> str:
        """The name of the server that answered the calling thread last."""
        return getattr(self._last, "name", "")

    def close(self) -> None:
        """Send no request again."""
        self._retries = 0

    def prepare(self, *, strict: bool) -> None:
        """Check the contract of all servers at the same time; those that cannot be asked rest for a while.

        Where the model of one does not fit, that is a ModelError if `strict`.
        """
        with ThreadPoolExecutor(len(self._servers), "remote-start") as pool:
            misfits = [(server, error) for server, error in pool.map(_prepared, self._servers) if error]
        for server, error in misfits:
            if strict:
                raise ModelError(f"inference server {server.name}: {error}")
            self._judged(server, error)

    def ask(self, send: Callable[[Server], T]) -> T:
        """Return what `send` gets from a server.

        Raises LabelerDown if no server gives a usable answer, LabelingError if the request is the reason.
        """
        tried: list[Server] = []
        failure: CamiohookdError | None = None
        for _ in range(1 + self._retries):
            server = self._take(tried)
            if server is None:
                break
            tried.append(server)
            try:
                found = send(server)
            except (Unusable, CamiohookdError) as error:
                failure = self._judged(server, error)
            except BaseException:
                server.failed(": unexpected error")
                raise
            else:
                server.breaker.worked()
                self._last.name = server.name
                return found
            finally:
                self._give_back(server)
        raise failure or LabelerDown(f"no inference server works at present ({self.names()}): see the log")

    def names(self) -> str:
        return ", ".join(server.name for server in self._servers)

    def _judged(self, server: Server, error: Exception) -> CamiohookdError:
        phrase = f": {error}" if isinstance(error, CamiohookdError) else f" {error}"
        text = f"inference server {server.name}{phrase}"
        may_be_the_event = not self._alike and isinstance(error, ServerRefused) and error.status in _ABOUT_THE_REQUEST
        if may_be_the_event and server.answers_the_sample():
            server.refused()
            return LabelingError(text)
        server.failed(phrase, at_once=isinstance(error, SetupError))
        return LabelerDown(text)

    def _take(self, tried: Sequence[Server]) -> Server | None:
        with self._lock:
            for server in sorted(self._servers, key=lambda each: (tried.count(each), each.outstanding)):
                if server.breaker.may_pass():
                    server.outstanding += 1
                    return server
        return None

    def _give_back(self, server: Server) -> None:
        with self._lock:
            server.outstanding -= 1


def _prepared(server: Server) -> tuple[Server, SetupError | None]:
    """Check the contract of a server; return it with why its model does not fit."""
    try:
        server.prepare()
    except SetupError as error:
        return server, error
    except Unusable as error:
        server.failed(f" {error}", at_once=True)
    return server, None
