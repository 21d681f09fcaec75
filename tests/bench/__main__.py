"""``python -m tests.bench [NAME...] [--quick]``: run benchmarks, print a table, write a JSON file.

The exit status is 1 if a must is missed, unless the run is quick.
"""

import argparse
import importlib
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import msgspec

from camiohookd.units import plural
from tests.bench import compare, machine
from tests.bench.harness import Bench, Benchmark, Result, table

DIST = Path("dist")
NAMES = (
    "accept",
    "accept_depth",
    "label",
    "label_4k",
    "page",
    "latency",
    "memory",
    "startup",
    "recovery",
    "wear",
    "slowloris",
    "bad_bodies",
    "decode",
    "peer",
    "cost",
    "quality",
    "remote",
)
DRAWN = ("scaling", "fleet", "soak")
"""Benchmarks that take long, most of which draw curves: run only when named."""

PARTS = ("courtyard", "taught", "elsewhere")
"""Two parts of `quality`, and what its limits do to other pictures: run alone when named."""


def main() -> int | str:
    """Return the exit status, or why nothing was measured."""
    options = parse()
    try:
        earlier = compare.read(options.compare) if options.compare else None
    except ValueError as error:
        return f"./build.sh bench: {error}"
    print(f"on {machine.sentence()}", flush=True)
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="camiohookd-bench.", dir=options.folder) as folder:
        bench = Bench(Path(folder), options.quick, options.minutes)
        for name in options.names or NAMES:
            started = time.monotonic()
            module = cast("Benchmark", importlib.import_module(f"tests.bench.{name}"))
            found = list(module.run(bench))
            print(f"\n{table(found)}\n({name}: {time.monotonic() - started:.0f} s)", flush=True)
            results += found
    options.json.parent.mkdir(exist_ok=True)
    options.json.write_bytes(msgspec.json.format(msgspec.json.encode({**machine.facts(), "results": results})) + b"\n")
    print(f"\n{table(results, markdown=options.markdown)}\n\nalso in {options.json}")
    if earlier is not None:
        here = msgspec.convert(machine.facts()["machine"], compare.Machine)
        print(f"\n{compare.heading(options.compare, earlier, here)}:\n{compare.comparison(results, earlier)}")
    return verdict(results, quick=options.quick)


def verdict(results: Sequence[Result], *, quick: bool) -> int:
    """Print which musts are missed; return the exit status."""
    missed = [f"{each.name}, {each.metric}" for each in results if each.met is False]
    if missed:
        print("\n".join(["", plural(len(missed), "must is missed:", "musts are missed:"), *missed]))
    return 1 if missed and not quick else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./build.sh bench", description="Measure camiohookd on this machine.")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of: {', '.join(NAMES + DRAWN + PARTS)}; none: {NAMES[0]} ..."
    )
    parser.add_argument("--quick", action="store_true", help="only see that it works; the figures mean nothing")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long soak runs (default: 10)")
    parser.add_argument("--json", type=Path, default=DIST / "bench.json", help="where the results go")
    parser.add_argument("--folder", type=Path, help="where queues are kept meanwhile (default: the temporary folder)")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="an earlier bench.json to compare this run with")
    parser.add_argument("--markdown", action="store_true", help="the last table as docs/performance.md has it")
    options = parser.parse_args()
    if unknown := set(options.names) - {*NAMES, *DRAWN, *PARTS}:
        parser.error(
            f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(NAMES + DRAWN + PARTS)}"
        )
    return options


if __name__ == "__main__":
    sys.exit(main())
