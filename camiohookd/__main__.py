"""The program's entry: `camiohookd ...` and `python3 -m camiohookd ...`."""

import sys

from camiohookd import cli
from camiohookd.system import process


def main() -> None:
    """Run the command line and end the process with its exit status."""
    process.forbid_core_files()  # before keys and tokens are read
    sys.exit(cli.run(sys.argv[1:]))


if __name__ == "__main__":
    main()
