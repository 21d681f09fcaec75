"""Check the labeler: it starts on the chosen device, and finds what the bundled photographs show."""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from camiohookd.camio.simulator import samples
from camiohookd.camio.simulator.samples import KnownObject
from camiohookd.cli.doctor.findings import Finding, Findings, Group, Outcome
from camiohookd.config.settings import LabelerSettings
from camiohookd.errors import CamiohookdError, LabelingError
from camiohookd.labelers import DEFAULT_REQUEST, Frame, Labeler, LabelRequest
from camiohookd.labelers.open import labels_of, name_of, open_labeler
from camiohookd.pictures.decode import PictureLimits, decode
from camiohookd.pictures.detections import Detection, polygon
from camiohookd.system import manual
from camiohookd.wire.images import Picture

_GROUP = Group("labeler")


def check_labelers(labelers: Sequence[LabelerSettings]) -> Findings:
    """Check each labeler; of several, the findings have its name, and one that is not required gives warnings."""
    for nth, settings in enumerate(labelers):
        for finding in check_labeler(settings, is_first=nth == 0):
            name = f"{finding.name} ({settings.title})" if len(labelers) > 1 else finding.name
            spared = finding.outcome == "failed" and settings.required is False
            outcome: Outcome = "warning" if spared else finding.outcome
            yield msgspec.structs.replace(finding, name=name, outcome=outcome)


def check_labeler(settings: LabelerSettings, *, is_first: bool = True) -> Findings:
    """Open the labeler as the service does, and label the bundled photographs with it.

    One that is not the first is told that nothing was found before. A labeler of parts of pictures (`on`) gets none.
    """
    degraded: list[bool] = []
    try:
        known = labels_of(settings)
        labeler = open_labeler(settings, None, degraded.append).labeler
    except CamiohookdError as error:
        yield _GROUP.failed("model" if settings.kind in ("onnx", "remote") else "own code", str(error))
        return
    try:
        yield from _of_device(settings, labeler, is_degraded=bool(degraded and degraded[-1]))
        if not settings.on:
            yield _golden_pictures(labeler, known, LabelRequest(found=None if is_first else [[]]))
    finally:
        labeler.close()
    if settings.kind != "remote" and settings.remote.endpoints:
        yield _of_servers(settings)


def _of_servers(settings: LabelerSettings) -> Finding:
    """Label a photograph with the inference servers alone; without them, this machine labels."""
    from camiohookd.labelers.remote.open import open_remote

    try:
        with closing(open_remote(settings, strict=True)) as labeler:
            file = min(samples.KNOWN)
            list(_label(labeler, file))
            return _GROUP.ok("inference servers", f"{labeler.last} has labeled {file.name}")
    except CamiohookdError as error:
        return _GROUP.warning(
            "inference servers",
            f"{error}; this machine labels alone",
            f"see {manual.page('remote.md')} for what has to fit",
        )


def _of_device(settings: LabelerSettings, labeler: Labeler, *, is_degraded: bool) -> Findings:
    if settings.kind == "remote":
        yield _GROUP.ok("model", f"{name_of(settings)}, {labeler.device}")
        return
    if settings.kind != "onnx":
        yield _GROUP.ok("own code", f"{labeler.device} starts")
        return
    yield _GROUP.ok("model", settings.model)
    if is_degraded:
        yield _GROUP.failed(
            "device",
            f'device = "{settings.device}" does not work, so the CPU labels in its place',
            f'see "camiohookd devices" for the reason, and {manual.page("accelerators.md")}',
        )
    else:
        yield _GROUP.ok("device", f'device = "{settings.device}" labels on {labeler.device}')


def _golden_pictures(labeler: Labeler, known: Sequence[str] | None, request: LabelRequest) -> Finding:
    """Label the photographs, and compare the objects with those that are known to be there."""
    shown = {label.lower() for label in known} if known is not None else set()
    expected = [one for one in samples.ALL if one.label in shown]
    started = time.monotonic()
    try:
        seen = [(file, list(_label(labeler, file, request))) for file in sorted(samples.KNOWN)]
    except (LabelingError, CamiohookdError) as error:
        return _GROUP.failed("golden pictures", f"labeling them failed: {error}")
    each = f"{(time.monotonic() - started) * 1000 / len(seen):.0f} ms each"
    if not expected:
        return _GROUP.ok(
            "golden pictures",
            f"labeled without an error, {each}; the check knows none of the model's labels",
        )
    found = [one for file, objects in seen for one in _found(samples.KNOWN[file], objects)]
    if wrong := next(filter(None, (_misplaced(samples.KNOWN[file], objects) for file, objects in seen)), None):
        return _GROUP.failed("golden pictures", wrong, "install the model again, or try another one")
    if not found:
        names = ", ".join(sorted(one.label for one in expected))
        return _GROUP.failed(
            "golden pictures", f"found none of these: {names}", "install the model again, or try another one"
        )
    names = ", ".join(sorted(one.label for one in found))
    return _GROUP.ok("golden pictures", f"found {names} ({len(found)} of {len(expected)} known objects), {each}")


def _label(
    labeler: Labeler, file: Path, request: LabelRequest = DEFAULT_REQUEST
) -> Iterator[tuple[Detection, tuple[int, int]]]:
    """Yield the objects in a picture, each with the picture's width and height in pixels."""
    data = file.read_bytes()
    decoded = decode(data, PictureLimits(), labeler.input_size)
    findings = labeler.label([Frame(Picture("2017-05-05T01:31:06.738647", data), decoded)], request)
    for detections in findings.pictures:
        yield from ((each, (decoded.width, decoded.height)) for each in detections)


def _found(known: Iterable[KnownObject], objects: Iterable[tuple[Detection, tuple[int, int]]]) -> Iterator[KnownObject]:
    names = {found.label.lower() for found, _ in objects}
    yield from (one for one in known if one.label in names)


def _misplaced(known: Iterable[KnownObject], objects: Sequence[tuple[Detection, tuple[int, int]]]) -> str | None:
    """Return which known object was found in a wrong place, judged by its most probable detection; None if none."""
    for one in known:
        best = next(((found, size) for found, size in objects if found.label.lower() == one.label), None)
        if best is None or best[0].box is None:
            continue
        if reason := samples.misplaced(one, polygon(best[0].box, *best[1])):
            return f"{one.label}: {reason}"
    return None
