"""The program's entry: `camiohookd ...` and `python3 -m camiohookd ...`."""

import sys

from camiohookd import cli
from camiohookd.system import process


def main() -> None:
    """Runs the command line and ends the process with its exit status."""
    process.forbid_core_files()  # keys and tokens are about to be read
    sys.exit(cli.run(sys.argv[1:]))


if __name__ == "__main__":
    main()
