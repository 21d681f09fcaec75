"""An owner's `compute_labels` on inference servers: pictures' files ─▶ one request ─▶ its labels, checked ─▶ findings.

The model takes one tensor of the type BYTES with the files of an event's pictures, and returns one of the type BYTES,
``labels``, with one text: what `compute_labels` returned, as JSON, where the timestamps are "0", "1", ... in the order
of the files.

What earlier labelers found goes to a server that has a further input ``detections`` of the type BYTES: for each picture
one text, the list that own code on this machine finds in ``image["detections"]``, as JSON; or ``null`` if there is no
earlier labeler. An output of that name and form says what is left of them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from camiohookd.labelers import DEFAULT_REQUEST, Findings, Frame, LabelRequest
from camiohookd.labelers.onnx.runner import Tensor
from camiohookd.labelers.own_code.labeler import as_sent, findings_of, kept_of
from camiohookd.labelers.remote.balancing import Balancer
from camiohookd.labelers.remote.contract import Wanted
from camiohookd.labelers.remote.protocol import too_large
from camiohookd.labelers.remote.tensors import NOT_READABLE, files
from camiohookd.labelers.remote.unusable import Unusable, one_line
from camiohookd.pictures.detections import Detection
from camiohookd.wire.images import Picture

INPUT, OUTPUT, DETECTIONS = "pictures", "labels", "detections"
WANTED = Wanted(INPUT, (None,), {OUTPUT: (None,)}, files=True, texts=True, further=DETECTIONS)


class RemoteOwnCode:
    """Labels whole events. Several threads may call `label` at once."""

    at_once = None
    default_probability = 0.0
    input_size = (1, 1)  # the server decodes the file; here it is only checked

    def __init__(self, balancer: Balancer) -> None:
        self.device = f"remote ({balancer.names()})"
        self._balancer = balancer

    def decode_size(self, request: LabelRequest) -> tuple[int, int]:  # noqa: ARG002  # as above, whatever is asked
        return self.input_size

    def label(self, frames: Sequence[Frame], request: LabelRequest = DEFAULT_REQUEST) -> Findings:
        """Raises LabelerDown, LabelingError."""
        pictures = files([frame.decoded.file for frame in frames])
        detections = _texts(len(frames), request.found)
        return self._balancer.ask(
            lambda server: _findings(server.infer(pictures, detections), frames, request.found),
        )

    def close(self) -> None:
        """Do nothing: the connections belong to `open`."""


def _texts(count: int, earlier: Sequence[Sequence[Detection]] | None) -> Tensor:
    """Return what earlier labelers found in each of `count` pictures, as one text of JSON each."""
    found = [None] * count if earlier is None else [[as_sent(each) for each in some] for some in earlier]
    return files([msgspec.json.encode(each) for each in found])


def _findings(
    found: Mapping[str, Any], frames: Sequence[Frame], earlier: Sequence[Sequence[Detection]] | None
) -> Findings:
    labels = _decoded(found[OUTPUT], OUTPUT)
    if len(labels) != 1:
        raise Unusable(f"sent {OUTPUT!r} that is not one text")
    numbered = [frame._replace(picture=Picture(str(nth), frame.picture.data)) for nth, frame in enumerate(frames)]
    try:
        if earlier is None:
            return findings_of(labels[0], numbered)
        # As on this machine: a labeler after others may return nothing.
        findings = findings_of({} if labels[0] is None else labels[0], numbered)
        return findings._replace(
            kept=kept_of(_decoded(found[DETECTIONS], DETECTIONS), earlier) if DETECTIONS in found else None
        )
    except ValueError as error:
        raise Unusable(f"sent labels that cannot be used: {one_line(error)}") from None


def _decoded(texts: Any, name: str) -> list[Any]:
    """Return the values of an output's texts, which are JSON. Raises Unusable."""
    if not isinstance(texts, list):
        raise Unusable(f"sent {name!r} that are no texts")
    if any(too_large(each) for each in texts):
        raise Unusable(f"sent {name} with too many values")
    try:
        return [msgspec.json.decode(each) for each in texts]
    except NOT_READABLE as error:
        raise Unusable(f"sent {name} that are not JSON: {one_line(error)}") from None
