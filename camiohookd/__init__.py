"""camiohookd: a private labeling service for Camio.

An event comes in at `web.hook`, is kept by `taskqueue`, labelled by `worker` with one of `labelers`, and its
labels leave through `callback`.
"""

import os

# onnxruntime 1.29 and newer sends telemetry unless this is set before it is imported; nothing of this package
# can be imported before this line has run.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
