"""Open the labelers that the settings ask for."""

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from camiohookd.config import paths
from camiohookd.config.settings import LabelerSettings
from camiohookd.errors import ConfigError, SetupError
from camiohookd.labelers import Labeler
from camiohookd.labelers.chain.chain import Chain
from camiohookd.labelers.chain.link import Link, LinkSettings, Watch
from camiohookd.labelers.taught.labels import taught_labels


class Opened(NamedTuple):
    """A labeler, and how many threads should call it at a time."""

    labeler: Labeler
    threads: int


def name_of(settings: LabelerSettings) -> str:
    """Return the name of what labels: the model's, or that it is own code."""
    if settings.kind == "remote":
        return settings.remote.model_name or settings.model
    return settings.model if settings.kind == "onnx" else f"own code ({settings.kind})"


def longest_seconds(settings: LabelerSettings) -> float:
    """Return how long a call of the labeler may take, with waits for a server or for a free place on this machine."""
    remote = settings.remote
    requests = 5  # of one try: four to find out what the server takes, and the inference
    asking = 2 * (1 + remote.retries) * requests * remote.timeout  # once for its turn, once itself
    if settings.kind == "remote":
        return asking
    if not remote.endpoints:
        return settings.deadline
    return settings.spill.after + asking + (1 + remote.concurrency) * settings.deadline


def labels_of(settings: LabelerSettings) -> tuple[str, ...] | None:
    """Return the labels that one labeler can find; None for own code, which makes its own. Raises SetupError."""
    if settings.kind in ("python", "command") or _is_remote_own_code(settings):
        return None
    from camiohookd.labelers import model

    return tuple(label for label in model.load_description(model.find(settings.model)).labels if label)


def known_labels(labelers: Sequence[LabelerSettings]) -> tuple[str, ...] | None:
    """Return the labels that the labelers together can find, then the taught ones; None if one makes its own.

    Raises SetupError if a model that is required is wrong; one that is not may be there later, with any labels.
    """
    known: dict[str, None] = {}
    for each in labelers:
        try:
            labels = labels_of(each)
        except SetupError:
            if each.required is not False:
                raise
            labels = None
        if labels is None:
            return None
        known |= dict.fromkeys(labels)
    known |= dict.fromkeys(taught_labels(paths.state_dir(os.environ)))
    return tuple(known)


class OpenedChain(NamedTuple):
    """The labelers as one, and how many threads should call it at a time."""

    chain: Chain
    threads: int


def open_chain(
    labelers: Sequence[LabelerSettings],
    state: Path | None,
    on_degraded: Callable[[bool], None],
    watch: Watch | None = None,
) -> OpenedChain:
    """Open all labelers, in their order, as `open_labeler` does. `watch` is told how they are doing.

    One that is not required and cannot be opened is tried again later. Raises SetupError.
    """
    links: list[Link] = []
    threads = 1
    reasons = _Reasons(on_degraded)
    for nth, settings in enumerate(labelers):
        detail = settings.detail if nth else None  # a reload changes that of the first
        place = LinkSettings(settings.title, settings.cameras, settings.required is not False, settings.on, detail)
        folder = state / "graphs" / f"labeler-{nth + 1}" if state and nth else state
        opened = partial(open_labeler, settings, folder, reasons.noter(f"labeler {nth + 1}"), watch)
        try:
            labeler, wanted = opened()
        except SetupError as error:
            if place.required:
                for link in links:
                    link.close()
                raise
            links.append(Link(place, None, watch, reopen=partial(_labeler_of, opened), trouble=str(error)))
        else:
            links.append(Link(place, labeler, watch))
            threads = max(threads, wanted)
    return OpenedChain(Chain(links), threads)


def _labeler_of(opened: Callable[[], Opened]) -> Labeler:
    return opened().labeler


def open_labeler(
    settings: LabelerSettings,
    state: Path | None,
    on_degraded: Callable[[bool], None],
    watch: Watch | None = None,
) -> Opened:
    """Open the labeler, ready to use. The `state` folder keeps what makes the next start faster.

    `on_degraded` is called with True when something stands in for what was chosen (the CPU for a device, this machine
    for inference servers), and with False when that works again. `watch` is told how the servers are doing. Raises
    SetupError.
    """
    if settings.kind == "remote":
        from camiohookd.labelers.remote.open import open_remote

        return Opened(open_remote(settings, strict=True, watch=watch), settings.remote.concurrency)
    if not settings.remote.endpoints:
        return _open_home(settings, state, on_degraded)
    return _open_both(settings, state, on_degraded, watch)


def _open_both(
    settings: LabelerSettings, state: Path | None, on_degraded: Callable[[bool], None], watch: Watch | None
) -> Opened:
    from camiohookd.labelers.remote.open import open_remote
    from camiohookd.labelers.remote.sharing import Sharing

    if (settings.kind == "onnx") == (settings.remote.sends == "jpeg-for-labels"):
        raise ConfigError(
            f'labeler.kind is "{settings.kind}" and labeler.remote.sends is "{settings.remote.sends}": a model on '
            'this machine shares its work with the same model ("tensors" or "jpeg"), your own code with the same code '
            '("jpeg-for-labels")'
        )
    reasons = _Reasons(on_degraded)
    home = _open_home(settings, state, reasons.noter("home"))
    try:
        remote = open_remote(settings, strict=False, watch=watch)
    except BaseException:
        home.labeler.close()
        raise
    shared = Sharing(home.labeler, home.threads, remote, settings.spill, reasons.noter("remote"))
    return Opened(shared, home.threads + settings.remote.concurrency)


def _is_remote_own_code(settings: LabelerSettings) -> bool:
    return settings.kind == "remote" and settings.remote.sends == "jpeg-for-labels"


class _Reasons:
    """Reports that the service is degraded while at least one of several reasons holds."""

    def __init__(self, on_degraded: Callable[[bool], None]) -> None:
        self._on_degraded = on_degraded
        self._present: set[str] = set()

    def noter(self, reason: str) -> Callable[[bool], None]:
        def note(degraded: bool) -> None:
            (self._present.add if degraded else self._present.discard)(reason)
            self._on_degraded(bool(self._present))

        return note


def _open_home(settings: LabelerSettings, state: Path | None, on_degraded: Callable[[bool], None]) -> Opened:
    match settings.kind:
        case "python":
            from camiohookd.labelers.own_code.labeler import open_script

            return Opened(open_script(settings.script, settings.interpreter, settings.deadline), 1)
        case "command":
            from camiohookd.labelers.own_code.labeler import open_command

            return Opened(open_command(settings.command, settings.deadline), 1)
    from camiohookd.labelers import model
    from camiohookd.labelers.detail.labeler import Detailed
    from camiohookd.labelers.onnx.open import open_configured

    folder = model.find(settings.model)
    labeler, threads = open_configured(
        folder,
        device=settings.device,
        plugins=settings.plugins,
        threads=settings.threads,
        deadline=settings.deadline,
        state=state,
        on_degraded=on_degraded,
        as_in_file=bool(settings.remote.endpoints),  # so that servers and this machine label alike
    )
    if model.load_description(folder).task != "detection":
        return Opened(labeler, threads)  # without boxes, nothing says where in a tile an object is
    return Opened(Detailed(labeler, threads), threads)
