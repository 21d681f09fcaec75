"""A score for each label and no box: a classifier."""

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta

from camiohookd.labelers.decoders.candidates import Candidates, CommonOptions, Floats, most_probable, sigmoid, softmax

_ACTIVATIONS: dict[str, Callable[[Floats], Floats]] = {"softmax": softmax, "sigmoid": sigmoid, "none": np.asarray}


class Classify:
    """Reads `output` [labels]: logits or probabilities.

    Softmax is for labels that exclude each other, sigmoid for labels that do not.
    """

    name = "classify"
    separate = True

    class Options(CommonOptions, frozen=True):
        """`activation`: the function from output to probabilities; `top_k`: the most labels of a picture."""

        activation: Literal["softmax", "sigmoid", "none"] = "softmax"
        top_k: Annotated[int, Meta(ge=1)] = 5

    def __init__(self, size: tuple[int, int], labels: Sequence[str], options: Options) -> None:  # noqa: ARG002  # as all
        self.outputs: dict[str, tuple[int | None, ...]] = {"output": (None, len(labels))}
        self._options = options
        self._named = np.array([bool(label) for label in labels])

    def __call__(self, outputs: Sequence[Floats], min_probability: float) -> Candidates:
        (output,) = outputs
        scores = _ACTIVATIONS[self._options.activation](output)
        _, labels, probabilities = most_probable(scores[None], self._named, min_probability)
        return Candidates(np.empty((len(labels), 0), np.float32), probabilities, labels).take(
            slice(self._options.top_k)
        )
