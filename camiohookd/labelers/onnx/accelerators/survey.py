"""Choose a device for a model: of those that fit the setting, the fastest that finds what the CPU finds.

built-in providers, plug-ins ─▶ `DeviceFinding` of each ─▶ tried out in a process of its own ─▶ `best`
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from camiohookd.errors import ModelError
from camiohookd.labelers.onnx import providers
from camiohookd.labelers.onnx.accelerators import probe
from camiohookd.labelers.onnx.accelerators.probe import ProbeResult, Trial
from camiohookd.labelers.onnx.devices import CPU, Device, Library, Wish

START_SECONDS = 90.0
"""Seconds for all tries at a start, which systemd limits."""


class DeviceFinding(msgspec.Struct, frozen=True):
    """A device, or a plug-in without one.

    `problem` says why the model does not run there, `ms` is the time for one picture, `nodes` how much of the graph the
    device itself runs.
    """

    device: Device | None
    library: Library | None = None
    problem: str | None = None
    ms: float | None = None
    nodes: str = ""

    @property
    def name(self) -> str:
        """The name to show."""
        if self.device:
            return self.device.name
        return self.library.name if self.library else "?"


class Survey:
    """Looks at the devices for the model in `folder`; `threads` label at a time, `plugins` are all there are."""

    def __init__(
        self,
        folder: Path,
        wish: Wish,
        plugins: Sequence[Library],
        *,
        threads: int,
        built_in: Callable[[], Sequence[Device]] = providers.built_in,
        offers: Callable[[Library, float], Sequence[Device]] = probe.offers,
        try_out: Callable[[Trial, float], ProbeResult] = probe.try_out,
    ) -> None:
        self._folder = folder
        self._wish = wish
        self._plugins = plugins
        self._threads = threads
        self._built_in = built_in
        self._offers = offers
        self._try_out = try_out

    @property
    def facts(self) -> dict[str, object]:
        """The facts that the choice depends on, without those that need a trial."""
        return {
            "runtime": providers.version(),
            "wish": self._wish.text,
            "plugins": [msgspec.to_builtins(library) for library in self._plugins],
            "threads": self._threads,
        }

    @property
    def is_pointless(self) -> bool:
        """Whether the CPU is the only device, which is known without trying."""
        return not self._plugins and all(device.is_cpu for device in self._built_in())

    def found(self, seconds: float = probe.SECONDS) -> Iterator[DeviceFinding]:
        """Yield every device, independent of the setting, and plug-ins without one. Make no trial."""
        for device in self._built_in():
            yield DeviceFinding(device)
        for library in self._plugins:
            try:
                devices = self._offers(library, seconds)
            except ModelError as error:
                yield DeviceFinding(None, library, problem=str(error))
                continue
            if not devices:
                yield DeviceFinding(None, library, problem="the plug-in finds no device of its kind on this machine")
            for device in devices:
                yield DeviceFinding(device, library)

    def tried(self, finding: DeviceFinding, seconds: float = probe.SECONDS) -> DeviceFinding:
        """Try out the model on the device, and return the finding with the result."""
        if finding.device is None:
            return finding
        wanted = self._wish.options if self._wish.options and self._wish.fits(finding.device) else {}
        trial = Trial(str(self._folder.resolve()), finding.device, wanted, self._threads)
        answer = self._try_out(trial, seconds)
        return DeviceFinding(finding.device, finding.library, answer.problem, answer.ms, answer.nodes)

    def choose(self, seconds: float = START_SECONDS) -> tuple[Device | None, list[DeviceFinding]]:
        """Return the best device that fits, None if there is none, and all findings. For "auto" it may be the CPU."""
        ends = time.monotonic() + seconds

        def left() -> float:
            return max(min(probe.SECONDS, ends - time.monotonic()), 1.0)

        findings = [each for each in self.found(left()) if each.device is None or self._wish.fits(each.device)]
        if any(each.device and not each.device.is_cpu for each in findings):
            findings = [self.tried(each, left()) for each in findings]
        elif self._wish.head == "auto":
            return CPU, findings
        return best(findings), findings


def best(findings: Iterable[DeviceFinding]) -> Device | None:
    """Return the fastest device that can be used, None if there is none."""
    usable = [each for each in findings if each.problem is None and each.ms is not None]
    return min(usable, key=lambda each: each.ms or 0).device if usable else None
