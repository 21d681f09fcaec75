"""Models in the ONNX format, on whatever device ONNX Runtime finds for them.

open       settings → a labeler; the way in for the daemon
labeler    frames → tensor → a `Runner` → decoder → detections
session    the model's bytes → a `Runner` on one device, with `cache` for what is slow about that
fallback   a `Runner` on a device that may fail, with the CPU in its place; `guard` for what kills the program
devices    what can be run on and is wished for; `providers` what ONNX Runtime has, `choice` what is taken
probe      a device tried out in a process of its own; `agreement` whether it sees what the CPU sees
throughput pictures a second, and cores

`session`, `graph` and `providers` are the only modules that import onnxruntime.
"""
