"""Try out devices in a separate process, so that a driver that crashes or hangs does not affect this one.

    `offers`, `try_out` ─▶ python3 -m camiohookd.labelers.onnx.accelerators.probe ◀─ a request as JSON on stdin
                        ◀─ a `ProbeResult` as JSON on its original stdout ─┘

The process is killed when its time is up; it also ends itself, in case its parent has died.
"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import msgspec

from camiohookd.errors import CamiohookdError, ModelError
from camiohookd.labelers.onnx.devices import Device, Library

SECONDS = 60.0
"""Seconds for one try: the first start of a big model on a GPU takes half of that."""

_PRIVATE = ("CAMIO", "NOTIFY_SOCKET")  # prefixes of environment variables that drivers must not see
_LAST_WORDS = 200
_COLORS = re.compile(r"\x1b\[[0-9;]*m")


class Trial(msgspec.Struct, frozen=True, tag=True):
    """The model in `folder` on `device`, with the provider's `settings`; `threads` label at a time."""

    folder: str
    device: Device
    settings: dict[str, str]
    threads: int


class ProbeRequest(msgspec.Struct, frozen=True):
    """Ask how the model runs on a device, or which devices a plug-in has."""

    seconds: float
    subject: Trial | Library


class ProbeResult(msgspec.Struct, frozen=True):
    """`problem` is the failure, if any. A trial also has `ms` a picture, and `nodes`, the part of the graph there."""

    problem: str | None = None
    devices: list[Device] = []
    ms: float | None = None
    nodes: str = ""


def offers(library: Library, seconds: float = SECONDS) -> list[Device]:
    """Return the devices of a plug-in on this machine. Raises ModelError."""
    answer = _ask(ProbeRequest(seconds, library))
    if answer.problem:
        raise ModelError(answer.problem)
    return answer.devices


def try_out(trial: Trial, seconds: float = SECONDS) -> ProbeResult:
    """Find out whether the model finds on the device what it finds on the CPU, and how fast."""
    return _ask(ProbeRequest(seconds, trial))


def _ask(request: ProbeRequest) -> ProbeResult:
    with subprocess.Popen(  # noqa: S603  # this very program
        [sys.executable, "-P", "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if not name.startswith(_PRIVATE)},
    ) as process:
        try:
            stdout, stderr = process.communicate(msgspec.json.encode(request), timeout=request.seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            return ProbeResult(problem=f"gave no answer within {request.seconds:g} s")
    last_words = _last_words(stderr)
    try:
        answer = msgspec.json.decode(stdout, type=ProbeResult)
    except msgspec.DecodeError:
        return ProbeResult(problem=_end(process.returncode) + last_words)
    # Only ONNX Runtime's printed lines say why a provider did not start.
    return ProbeResult(problem=answer.problem + last_words) if answer.problem else answer


def _end(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    return f"crashed ({signal.Signals(-status).name if -status in set(signal.Signals) else -status})"


def _last_words(stderr: bytes) -> str:
    """Return the end of the last line about an error, empty if there is none."""
    lines = [line for line in stderr.decode(errors="replace").splitlines() if "[E:" in line or "Error" in line]
    return f" ({_COLORS.sub('', lines[-1]).rpartition('] ')[2].strip()[:_LAST_WORDS]})" if lines else ""


# The other process.


def main() -> None:
    """Answer one request and exit."""
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=ProbeRequest)
    signal.setitimer(signal.ITIMER_REAL, request.seconds + 1)  # its signal is not handled, so it ends a hang, too
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # keeps what drivers print out of the answer
        try:
            answer = _answer(request.subject)
        except CamiohookdError as error:
            answer = ProbeResult(problem=str(error))
        answers.write(msgspec.json.encode(answer))
    # Some drivers crash when they are unloaded; the work is done by now.
    os._exit(0)


def _answer(subject: Trial | Library) -> ProbeResult:
    from camiohookd.labelers.onnx import providers

    providers.be_silent(False)
    return _try(subject) if isinstance(subject, Trial) else ProbeResult(devices=providers.offered_by(subject))


def _try(trial: Trial) -> ProbeResult:
    from camiohookd.labelers.onnx.accelerators.agreement import difference
    from camiohookd.labelers.onnx.accelerators.output_check import StrictRunner
    from camiohookd.labelers.onnx.labeler import open_onnx
    from camiohookd.labelers.onnx.session import OnnxSession, open_session
    from camiohookd.labelers.onnx.throughput import throughput

    folder = Path(trial.folder)
    tried: list[OnnxSession] = []

    def open_tried(model: bytes, name: str) -> StrictRunner:
        session = open_session(model, name, trial.device, settings=trial.settings, remember_nodes=True)
        tried.append(session)
        return StrictRunner(session)

    labeler = open_onnx(folder, open_tried)
    nodes = tried[0].nodes_by_provider()
    if not trial.device.is_cpu:
        if nodes is not None and not nodes.get(trial.device.provider):
            return ProbeResult(problem="takes no part of this model, which would run on the CPU")
        if problem := difference(open_onnx(folder), labeler):
            return ProbeResult(problem=problem)
    ms = 1000 / throughput(labeler, trial.threads)
    return ProbeResult(ms=round(ms, 2), nodes=_share(nodes, trial.device))


def _share(nodes: dict[str, int] | None, device: Device) -> str:
    return f"{nodes.get(device.provider, 0)} of {sum(nodes.values())}" if nodes else ""


if __name__ == "__main__":
    main()
