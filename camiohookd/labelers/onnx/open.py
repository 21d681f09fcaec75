"""Open a model as the settings say: on which device, with how many threads, and with the CPU to fall back on.

device = "cpu" ────────────────────────────────────────────▶ session on the CPU
else: the device chosen at this start or an earlier one ──▶ `FallbackRunner` (session on the device │ on the CPU)
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec

from camiohookd.errors import ModelError
from camiohookd.labelers.model import load_description
from camiohookd.labelers.onnx import tuned_graph
from camiohookd.labelers.onnx.accelerators.crash_marker import Guard, GuardedRunner
from camiohookd.labelers.onnx.accelerators.fallback import FallbackRunner, Later, on_a_timer
from camiohookd.labelers.onnx.accelerators.survey import Survey
from camiohookd.labelers.onnx.cache import Cache
from camiohookd.labelers.onnx.devices import CPU, PLUGIN_FOLDER, Device, Wish, libraries, parse_device
from camiohookd.labelers.onnx.labeler import OnnxLabeler, open_onnx
from camiohookd.labelers.onnx.runner import Runner
from camiohookd.labelers.onnx.session import UNCHANGED, Change, OnnxSession, open_session
from camiohookd.labelers.onnx.throughput import cores
from camiohookd.system.log_fields import about

FOLDER = "graphs"
"""In the state folder."""

log = logging.getLogger("camiohookd.labeler")


def open_configured(
    folder: Path,
    *,
    device: str,
    plugins: Sequence[str] = (),
    threads: int | Literal["auto"] = "auto",
    deadline: float = 60.0,
    state: Path | None = None,
    on_degraded: Callable[[bool], None],
    plugin_folder: Path = PLUGIN_FOLDER,
    as_in_file: bool = False,
) -> tuple[OnnxLabeler, int]:
    """Return the labeler of the model in `folder`, warmed up, and how many threads should call it at a time.

    The settings are those of ``[labeler]``. The `state` folder keeps what makes the next start faster. `on_degraded` is
    called with True when the CPU replaces the device, and with False when the device works again. With `as_in_file` the
    graph is not changed for the CPU: it finds what others find with the same file. Raises ModelError if the model is
    wrong, ConfigError if `device` is; a device that does not work is not an error.
    """
    wish = parse_device(device)
    count = cores()
    description = load_description(folder)
    cache = Cache(state / FOLDER, {"model": description.sha256}) if state else None
    found = () if wish.head == "cpu" else list(libraries(plugins, plugin_folder))
    survey = Survey(folder, wish, found, threads=count)
    guard = Guard(state / FOLDER / "device-in-use" if state else None, wish.text)
    change = UNCHANGED
    if not as_in_file:
        change = Change(tuned_graph.VERSION, partial(tuned_graph.tuned, description=description, name=str(folder)))
    opener = RunnerOpener(wish, survey, cache, guard, deadline=deadline, on_degraded=on_degraded, change=change)
    labeler = open_onnx(folder, opener.open)
    return labeler, count if threads == "auto" else threads


class RunnerOpener:
    """Opens a `Runner` as the settings say; `device` is the name of the wished device it runs on, None before.

    The `change` is made to a model that runs on nothing but the CPU.
    """

    def __init__(
        self,
        wish: Wish,
        survey: Survey,
        cache: Cache | None,
        guard: Guard,
        *,
        deadline: float,
        on_degraded: Callable[[bool], None],
        later: Later = on_a_timer,
        start: Callable[..., Runner] = open_session,
        change: Change = UNCHANGED,
    ) -> None:
        self.device: str | None = None
        self._wish = wish
        self._survey = survey
        self._cache = cache
        self._guard = guard
        self._deadline = deadline
        self._on_degraded = on_degraded
        self._later = later
        self._start_session = start
        self._change = change
        self._chosen: Device | None = None

    def open(self, model: bytes, name: str) -> Runner:
        """`OpenRunner`."""
        if self._wish.head == "cpu" or (self._wish.head == "auto" and self._survey.is_pointless):
            alone = self._open_alone(model, name)
            self.device = alone.device
            return alone
        cpu = open_session(model, name, cache=self._cache)  # not changed: the device gets the same pictures
        trouble = ""
        if self._guard.deaths:
            trouble = "the program has died while it was in use"
        else:
            try:
                self._chosen = self._remembered() or self._choose(logging.WARNING)
            except ModelError as error:
                trouble = str(error)
        if self._chosen and self._chosen.is_cpu:
            self.device = cpu.device
            return cpu
        return FallbackRunner(
            f'device "{self._wish.text}"',
            cpu,
            partial(self._start, model, name),
            deadline=self._deadline,
            on_degraded=self._on_degraded,
            trouble=trouble,
            failures=max(self._guard.deaths, 1),
            later=self._later,
        )

    def _open_alone(self, model: bytes, name: str) -> OnnxSession:
        """Open the CPU's session if nothing else ever runs the model."""
        try:
            return open_session(model, name, cache=self._cache, change=self._change)
        except ModelError:
            return open_session(model, name, cache=self._cache)

    def _start(self, model: bytes, name: str) -> Runner:
        """Open the session on the chosen device. After a failure, choose and try out a device again."""
        device, self._chosen = self._chosen or self._choose(logging.DEBUG), None
        if device.is_cpu:
            raise ModelError("the CPU is the fastest at present")
        self._guard.enter()
        try:
            session = self._start_session(model, name, device, settings=self._wish.options, cache=self._cache)
        except BaseException:
            self._guard.leave()
            raise
        self.device = session.device
        return GuardedRunner(session, self._guard)

    def _remembered(self) -> Device | None:
        kept = self._cache.load("device", **self._survey.facts) if self._cache else None
        return msgspec.json.decode(kept, type=Device) if kept else None

    def _choose(self, level: int) -> Device:
        """Return the device that fits best, and log problems of the others at `level`.

        Raises ModelError if none works; for "auto" the CPU always does.
        """
        device, findings = self._survey.choose()
        problems = []
        for each in findings:
            if each.ms is not None:
                log.info("%s: %.1f ms a picture", each.name, each.ms, extra=about("device_measured"))
            elif each.problem and (each.device is None or self._wish.head == "auto"):
                log.log(level, "%s is not used: %s", each.name, each.problem, extra=about("device_not_used"))
            elif each.problem:
                problems.append(f"{each.name}: {each.problem}")
        if device is None and self._wish.head == "auto":
            return CPU
        if device is None:
            raise ModelError("; ".join(problems) or 'there is no such device here, see "camiohookd devices"')
        if self._cache and not (device.is_cpu and any(each.problem for each in findings)):
            self._cache.save("device", msgspec.json.encode(device), **self._survey.facts)
        return device
