"""A score for each label and no box: a classifier."""

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta

from camiohookd.errors import ModelError
from camiohookd.labelers.decoders.candidates import Candidates, CommonOptions, Floats, most_probable, sigmoid, softmax

_ACTIVATIONS: dict[str, Callable[[Floats], Floats]] = {"softmax": softmax, "sigmoid": sigmoid, "none": np.asarray}


class Classify:
    """Reads `output` [labels]: logits or probabilities.

    Softmax is for labels that exclude each other, sigmoid for labels that do not, none for a graph that ends in one of
    them. A model with `one_output` for two labels returns the second one's; the first one's is what is missing to 1.
    """

    name = "classify"
    separate = True
    batched = True

    class Options(CommonOptions, frozen=True):
        """`activation`: the function from output to probabilities; `top_k`: the most labels of a picture; `one_output`:
        whether the model has one output for its one or two labels."""

        activation: Literal["softmax", "sigmoid", "none"] = "softmax"
        top_k: Annotated[int, Meta(ge=1)] = 5
        one_output: bool = False

    def __init__(self, size: tuple[int, int], labels: Sequence[str], options: Options) -> None:  # noqa: ARG002  # as all
        if options.one_output and len(labels) > 2:
            raise ModelError(f"one output tells one or two labels apart, not {len(labels)}")
        self.outputs: dict[str, tuple[int | None, ...]] = {"output": (None, 1 if options.one_output else len(labels))}
        self._options = options
        self._named = np.array([bool(label) for label in labels])

    def __call__(self, outputs: Sequence[Floats], min_probability: float) -> Candidates:
        (output,) = outputs
        scores = _ACTIVATIONS[self._options.activation](output)
        if self._options.one_output and len(self._named) == 2:
            scores = np.concatenate([1 - scores, scores])
        _, labels, probabilities = most_probable(scores[None], self._named, min_probability)
        return Candidates(np.empty((len(labels), 0), np.float32), probabilities, labels).take(
            slice(self._options.top_k)
        )
