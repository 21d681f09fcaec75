"""As `label`, with JPEGs of 3840x2160 pixels, which are slow to decode in full."""

from collections.abc import Iterator

from tests.bench.harness import Bench, Result, at_least
from tests.bench.label import measure


def run(bench: Bench) -> Iterator[Result]:
    yield from measure("label_4k", bench, 3840, 2160, bench.scaled(3, 1), at_least(2, 4))
