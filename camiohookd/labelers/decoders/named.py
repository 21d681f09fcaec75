"""Choose rows of finished detections, each with one label's number."""

import numpy as np
from numpy.typing import NDArray

from camiohookd.labelers.decoders.candidates import Floats


def rows_with_names(
    numbers: Floats, scores: Floats, named: NDArray[np.bool_], min_probability: float
) -> NDArray[np.intp]:
    """Return the rows whose score is high enough and whose label has a name, most probable first.

    `numbers` [n] are the labels' indices; one beyond `named` has no name here.
    """
    rows = np.flatnonzero((scores >= min_probability) & (numbers >= 0) & (numbers < len(named)))
    rows = rows[named[numbers[rows].astype(np.intp)]]
    return rows[np.argsort(-scores[rows], kind="stable")]
