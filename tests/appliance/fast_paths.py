"""Print as JSON what the parts that are written for speed compute. A packaged Python runs it, and this machine's.

python3.11 fast_paths.py FOLDER      FOLDER is empty; it gets the optimized graph
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

import camiohookd
from camiohookd.labelers.model import find
from camiohookd.labelers.onnx.open import FOLDER, open_configured
from camiohookd.pictures.decode import PictureLimits, decode
from camiohookd.system.process import give_freed_memory_back, keep_freed_memory

SIZES = ((1000, 1000), (240, 240), (120, 120), (60, 60))
"""What a picture has to cover, in pixels. The larger ones are decoded in full, the others at 1/2, 1/4 or 1/8."""


def facts(file: Path, state: Path) -> dict[str, Any]:
    """Return what is computed of a picture: checksums, average colors at each scale, and labels with probabilities."""
    data = file.read_bytes()
    images = [decode(data, PictureLimits(), size).image for size in SIZES]
    labeler, _ = open_configured(find("ssdlite-mobilenet-v2-coco"), device="cpu", state=state, on_degraded=print)
    return {
        "checksums": [xxhash.xxh3_64_hexdigest(data), xxhash.xxh3_128_hexdigest(data)],
        "sizes": [image.size for image in images],
        "colors": [np.asarray(image).mean(axis=(0, 1)).tolist() for image in images],
        "labels": [each[:2] for each in labeler.detect(decode(data, PictureLimits(), labeler.input_size))],
    }


def main() -> None:
    state = Path(sys.argv[1])
    keep_freed_memory()
    samples = sorted(Path(camiohookd.__file__).parent.glob("samples/*.jpg"))
    found = {file.stem: facts(file, state) for file in samples}  # the first one makes the graph, the others find it
    give_freed_memory_back()
    (graph,) = (state / FOLDER).glob("graph-*")
    print(json.dumps({"pictures": found, "takes bytes": b" as bytes" in graph.read_bytes()}))


if __name__ == "__main__":
    main()
