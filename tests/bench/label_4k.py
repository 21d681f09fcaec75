"""As `label`, with JPEGs of 3840x2160 pixels, which are slow to decode in full.

What keeps it from 4 times, on 28 November 2026, in processor time a picture (process_time, the least of nine): the
baseline needs 21 ms to decode it in full, 24 to resize it and 12 for the model, 57 in all. Decoding at an eighth of the
size takes 7.7, nearly all of it for the Huffman code, which has to be read whole, and ONNX Runtime takes 9. If all else
cost nothing, that would be 3.4 times. Base64 takes 1.5, and the rest is what `label` names.
"""

from collections.abc import Iterator

from tests.bench.harness import Bench, Result, at_least
from tests.bench.label import measure


def run(bench: Bench) -> Iterator[Result]:
    yield from measure("label_4k", bench, 3840, 2160, bench.scaled(3, 1), at_least(2, 4))
