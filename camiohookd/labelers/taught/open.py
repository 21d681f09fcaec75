"""Put what was taught at the end of a chain of labelers."""

from collections.abc import Sequence
from pathlib import Path

from camiohookd.config.settings import LabelerSettings
from camiohookd.errors import SetupError
from camiohookd.labelers.chain.chain import Chain
from camiohookd.labelers.chain.link import Link, Place
from camiohookd.labelers.model import find
from camiohookd.labelers.taught.collection import Collection
from camiohookd.labelers.taught.labeler import TaughtLabeler
from camiohookd.labelers.taught.steadiness import Steadiness
from camiohookd.labelers.taught.store import FOLDER

STATES = "states.json"
"""Which states counted last; in the folder of taught labels."""


class TaughtLink(Link):
    """Is asked for the cameras for which something is taught at the time."""

    def __init__(self, taught: TaughtLabeler) -> None:
        super().__init__(Place("taught", required=False), taught)
        self._taught = taught

    def is_for(self, camera: str | None) -> bool:
        return self._taught.is_for(camera)


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
    taught = TaughtLabeler(Collection(state, folder), Steadiness(state / FOLDER / STATES))
    return Chain(chain.links, TaughtLink(taught))
