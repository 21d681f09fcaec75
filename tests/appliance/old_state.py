"""Convert the state folder of a cleanly stopped daemon to format 1: one plain TinyDB file.

The packaged Python runs this in the machine, after the old daemon has ended and before the new one starts.
"""

import json
import sys
from pathlib import Path


def main(folder: Path) -> None:
    snapshot = folder / "queue.json"
    tasks = json.loads(snapshot.read_text())["_default"]
    for task in tasks.values():
        del task["crc32"]
    snapshot.write_text(json.dumps({"_default": tasks}))  # overwritten in place, to keep the file's owner
    for file in [folder / "format", *folder.glob("queue.journal-*")]:
        file.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
