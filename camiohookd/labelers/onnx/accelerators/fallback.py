"""A `Runner` on a device that may fail, which falls back to the CPU; its callers do not notice.

run ─▶ device, within the deadline ─▶ sound? ─▶ its outputs
         │ raises, hangs                 │ no
         └─────────────┬─────────────────┘
                       ▼
                      CPU ─▶ its outputs; the device is dropped, and tried again later
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from camiohookd.errors import CamiohookdError, LabelingError
from camiohookd.labelers.onnx.accelerators.call_deadline import Helper, Hung
from camiohookd.labelers.onnx.accelerators.output_check import batch_of, garbage
from camiohookd.labelers.onnx.runner import Runner, Tensor
from camiohookd.system.log_fields import about

WAITS = (60.0, 300.0, 1800.0)
"""Seconds until a dropped device is tried again; after the last one, it repeats."""

MOST_HUNG = 3
"""Hung runs, each of which keeps a thread, after which the device is not used again until a restart."""

Later = Callable[[float, Callable[[], None]], None]
"""Call a function after that many seconds, on a thread of its own."""

log = logging.getLogger("camiohookd.labeler")


def on_a_timer(seconds: float, function: Callable[[], None]) -> None:
    """Call a function later on a daemon thread, which does not keep the program from ending."""
    timer = threading.Timer(seconds, function)
    timer.daemon = True
    timer.start()


class FallbackRunner:
    """Runs a model on the device that `start` opens, and on `cpu` while the device does not work.

    `start` raises CamiohookdError when the device does not start; later calls of it may be slow. `deadline` is in
    seconds for each picture. `on_degraded` is called with True when the CPU replaces the device, and with False when
    the device works again. `name` is used in log lines until the device is open. If `trouble` is given, it says why the
    device is not tried at first; the first try comes after the wait for so many `failures`.
    """

    def __init__(
        self,
        name: str,
        cpu: Runner,
        start: Callable[[], Runner],
        *,
        deadline: float,
        on_degraded: Callable[[bool], None],
        trouble: str = "",
        failures: int = 1,
        later: Later = on_a_timer,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.inputs, self.outputs = cpu.inputs, cpu.outputs
        self._name = name
        self._cpu = cpu
        self._start = start
        self._deadline = deadline
        self._on_degraded = on_degraded
        self._later = later
        self._clock = clock
        self._lock = threading.Lock()
        self._primary: Runner | None = None
        self._helpers = threading.local()
        self._closed = False
        self._hung = 0
        self._failures = failures - 1
        self._since = clock()
        if not trouble:
            try:
                self._primary = start()
            except CamiohookdError as error:
                trouble = str(error)
        if trouble:
            self._fall_back(name, trouble)

    @property
    def device(self) -> str:
        primary = self._primary
        return primary.device if primary else self._cpu.device

    def run(self, outputs: Sequence[str], feeds: Mapping[str, Tensor]) -> Sequence[Tensor]:
        primary = self._primary
        if primary is None:
            return self._cpu.run(outputs, feeds)
        batch = batch_of(feeds)
        try:
            answer = self._helper().call(lambda: primary.run(outputs, feeds), self._deadline * batch)
        except Hung:
            self._helpers.helper = None
            self._drop(primary, f"gave no answer within {self._deadline * batch:g} s", hung=True)
            return self._cpu.run(outputs, feeds)
        except LabelingError as error:
            trouble = str(error)
        else:
            trouble = garbage(outputs, self.outputs, answer, batch) or ""
            if not trouble:
                return answer
        # If the CPU fails as well, the model or its input is wrong, not the device.
        right = self._cpu.run(outputs, feeds)
        if garbage(outputs, self.outputs, right, batch) is None:
            self._drop(primary, trouble)
        return right

    def close(self) -> None:
        with self._lock:
            self._closed = True
            primary, self._primary = self._primary, None
        if primary:
            primary.close()
        self._cpu.close()

    def _helper(self) -> Helper:
        """Return the calling thread's helper, always the same one: some providers keep data by thread."""
        helper: Helper | None = getattr(self._helpers, "helper", None)
        if helper is None:
            helper = self._helpers.helper = Helper()
        return helper

    def _drop(self, primary: Runner, trouble: str, *, hung: bool = False) -> None:
        with self._lock:
            self._hung += hung
            if self._primary is not primary:
                return  # another thread has dropped it already
            self._primary = None
        primary.close()
        if self._clock() - self._since >= WAITS[-1]:
            self._failures = 0  # it worked for a long time
        self._fall_back(primary.device, trouble)

    def _fall_back(self, name: str, trouble: str) -> None:
        """Log the fallback once, and schedule the next try."""
        self._on_degraded(True)
        log.warning("%s: %s; labeling on the CPU, %s", name, trouble, self._try_later(), extra=about("device_lost"))

    def _try_later(self) -> str:
        if self._hung >= MOST_HUNG:
            return "until a restart: it has hung too often"
        wait = WAITS[min(self._failures, len(WAITS) - 1)]
        self._failures += 1
        self._later(wait, self._try_again)
        return f"next try in {wait / 60:g} min"

    def _try_again(self) -> None:
        if self._closed:
            return
        try:
            primary = self._start()
        except CamiohookdError as error:
            log.info(
                "%s: still not usable: %s; %s", self._name, error, self._try_later(), extra=about("device_still_lost")
            )
            return
        except Exception:
            log.exception("unexpected error while trying %s again", self._name, extra=about("device_still_lost"))
            self._try_later()
            return
        with self._lock:
            self._since = self._clock()
            if not self._closed:
                self._primary = primary
        if self._closed:
            primary.close()
            return
        self._on_degraded(False)
        log.warning("%s: works again, labeling on it", primary.device, extra=about("device_back"))
