"""Put what was taught at the end of a chain of labelers."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from camiohookd.config.settings import LabelerSettings
from camiohookd.errors import SetupError
from camiohookd.labelers import DEFAULT_REQUEST, Findings, Frame, LabelRequest
from camiohookd.labelers.chain.chain import Chain
from camiohookd.labelers.chain.link import Link, LinkSettings
from camiohookd.labelers.model import find
from camiohookd.labelers.taught import places
from camiohookd.pictures.detections import Detection

if TYPE_CHECKING:
    from camiohookd.labelers.taught.labeler import TaughtLabeler

STATES = "states.json"
"""Which states counted last; in the folder of taught labels."""


class TaughtLink(Link):
    """Is asked for the cameras for which something is taught at the time."""

    def __init__(self, taught: "LateTaught | TaughtLabeler") -> None:
        super().__init__(LinkSettings("taught", required=False), taught)
        self._taught = taught

    def is_for(self, camera: str | None) -> bool:
        return self._taught.is_for(camera)


class LateTaught:
    """What is taught in the `state` folder with the model in `folder`, loaded when there is something.

    The modules that look for it take 30 MB on a box whose labeler is no model.
    """

    device = "cpu"
    at_once = 16
    default_probability = 0.0

    def __init__(self, state: Path, folder: Path) -> None:
        self._state = state
        self._folder = folder
        self._lock = threading.Lock()
        self._loaded: TaughtLabeler | None = None

    def is_for(self, camera: str | None) -> bool:
        """Return whether something is taught for a camera, at present. Loads it if there is."""
        labeler = self._labeler()
        return labeler is not None and labeler.is_for(camera)

    @property
    def input_size(self) -> tuple[int, int]:
        return self._loaded.input_size if self._loaded else (1, 1)

    def decode_size(self, request: LabelRequest) -> tuple[int, int]:
        return self._loaded.decode_size(request) if self._loaded else (1, 1)

    def label(self, frames: Sequence[Frame], request: LabelRequest = DEFAULT_REQUEST) -> Findings:
        return self._loaded.label(frames, request) if self._loaded else Findings([() for _ in frames])

    def conclude(self, pictures: Sequence[Sequence[Detection]], request: LabelRequest) -> Sequence[Sequence[Detection]]:
        """Do as `TaughtLabeler.conclude`."""
        return self._loaded.conclude(pictures, request) if self._loaded else pictures

    def close(self) -> None:
        if self._loaded:
            self._loaded.close()

    def _labeler(self) -> "TaughtLabeler | None":
        if self._loaded is None and places.files(self._state):
            from camiohookd.labelers.taught.collection import Collection
            from camiohookd.labelers.taught.labeler import TaughtLabeler
            from camiohookd.labelers.taught.steadiness import Steadiness

            with self._lock:
                if self._loaded is None:
                    states = self._state / places.FOLDER / STATES
                    self._loaded = TaughtLabeler(Collection(self._state, self._folder), Steadiness(states))
        return self._loaded


def model_of(labelers: Sequence[LabelerSettings]) -> Path:
    """Return the folder of the model whose features are used: that of the first labeler that is a model.

    Where there is none, it is that of the first labeler's setting, the package's model by default. Raises ModelError.
    """
    models = [each for each in labelers if each.kind == "onnx" and not each.on]
    return find((models or labelers)[0].model)


def with_taught(chain: Chain, labelers: Sequence[LabelerSettings], state: Path) -> Chain:
    """Return the chain with what was taught in the `state` folder, now or later; as it is if there is no model."""
    try:
        folder = model_of(labelers)
    except SetupError:
        return chain
    return Chain(chain.links, TaughtLink(LateTaught(state, folder)))
