"""camiohookd: a private labeling service for Camio.

An event comes in at `web.hook`. `queue` keeps it, `worker` labels it with one of `labelers`, and `delivery` posts the
labels back. docs/internals/architecture.md shows how the packages fit together.
"""

import os

# onnxruntime 1.29 and newer sends telemetry unless this is set before it is imported. This line runs before any
# module of this package is imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

# numpy's linear algebra is used for small matrices (camiohookd teach). With a thread for each core it was measured to
# take 25 times as much processor time on a busy machine. It has to be set before numpy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
