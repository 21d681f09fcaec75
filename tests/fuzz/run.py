"""Fuzz one target with libFuzzer, from the seeds on and guided by the lines that each input reaches.

    .venv/bin/python tests/fuzz/run.py TARGET [--seconds S] [--runs N] [--keep DIR]

A find exits with a status other than 0, prints a traceback, and writes the input to a file under DIR. Inputs that reach
new lines are kept there, too.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import atheris  # type: ignore[import-untyped]  # it has no type hints

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # run as a script, it finds `tests`

MAX_BYTES = 16_384

with atheris.instrument_imports(include=["camiohookd"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--runs", type=int, default=-1, help="inputs at most; -1: any number")
    parser.add_argument("--keep", type=Path)
    chosen = parser.parse_args()
    keep = chosen.keep or Path(tempfile.mkdtemp(prefix="camiohookd-fuzz-"))
    found = keep / "reached"
    found.mkdir(parents=True, exist_ok=True)
    arguments = [
        sys.argv[0],
        f"-max_total_time={chosen.seconds}",
        f"-runs={chosen.runs}",
        f"-max_len={MAX_BYTES}",
        f"-artifact_prefix={keep}/",
        "-rss_limit_mb=2048",
        "-timeout=20",
        "-print_final_stats=1",
        "-verbosity=0",
        str(found),
        str(ROOT / "tests/fuzz/seeds" / chosen.target),
    ]
    atheris.Setup(arguments, TARGETS[chosen.target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
