"""Makes one of format 1, plain TinyDB and nothing beside it, of a state folder whose daemon has stopped in good order.

Run by the packaged Python in the machine, between the old daemon's end and the new one's start.
"""

import json
import sys
from pathlib import Path


def main(folder: Path) -> None:
    snapshot = folder / "queue.json"
    tasks = json.loads(snapshot.read_text())["_default"]
    for task in tasks.values():
        del task["crc32"]
    snapshot.write_text(json.dumps({"_default": tasks}))  # in place, so that it keeps its owner
    for file in [folder / "format", *folder.glob("queue.journal-*")]:
        file.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
