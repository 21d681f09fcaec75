"""An owner's `compute_labels` on inference servers: pictures' files ─▶ one request ─▶ its labels, checked ─▶ findings.

The model takes one tensor of the type BYTES with the files of an event's pictures, and returns one of the type BYTES,
``labels``, with one text: what `compute_labels` returned, as JSON, where the timestamps are "0", "1", ... in the order
of the files.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from camiohookd.labelers import DEFAULT_REQUEST, Findings, Frame, LabelRequest
from camiohookd.labelers.own_code.labeler import findings_of
from camiohookd.labelers.remote.balancing import Balancer
from camiohookd.labelers.remote.contract import Wanted
from camiohookd.labelers.remote.protocol import too_large
from camiohookd.labelers.remote.tensors import NOT_READABLE, files
from camiohookd.labelers.remote.unusable import Unusable, one_line
from camiohookd.wire.images import Picture

INPUT, OUTPUT = "pictures", "labels"
WANTED = Wanted(INPUT, (None,), {OUTPUT: (None,)}, files=True, texts=True)


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

    def label(self, frames: Sequence[Frame], request: LabelRequest = DEFAULT_REQUEST) -> Findings:  # noqa: ARG002  # the code decides
        """Raises LabelerDown, LabelingError."""
        pictures = files([frame.decoded.file for frame in frames])
        return self._balancer.ask(lambda server: _findings(server.infer(pictures), frames))

    def close(self) -> None:
        """Do nothing: the connections belong to `open`."""


def _findings(found: Mapping[str, Any], frames: Sequence[Frame]) -> Findings:
    texts = found[OUTPUT]
    if not isinstance(texts, list) or len(texts) != 1:
        raise Unusable(f"sent {OUTPUT!r} that is not one text")
    if too_large(texts[0]):
        raise Unusable("sent labels with too many values")
    try:
        labels = msgspec.json.decode(texts[0])
    except NOT_READABLE as error:
        raise Unusable(f"sent labels that are not JSON: {one_line(error)}") from None
    numbered = [frame._replace(picture=Picture(str(nth), frame.picture.data)) for nth, frame in enumerate(frames)]
    try:
        return findings_of(labels, numbered)
    except ValueError as error:
        raise Unusable(f"sent labels that cannot be used: {one_line(error)}") from None
