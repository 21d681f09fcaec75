"""Run models in the ONNX format on the devices that ONNX Runtime finds.

open          settings → a labeler; the daemon calls this
labeler       frames → tensor → a `Runner` → decoder → detections
session       the model's bytes → a `Runner` on one device; `cache` keeps what is slow about that
devices       names of devices; `providers` what ONNX Runtime has
throughput    pictures a second
features      what a model's backbone computes of a picture, which labels are taught with
accelerators  devices besides the CPU: tried out (`survey`, `probe`, `agreement`), and what happens when they fail
              (`fallback`, `crash_marker`)

`session`, `graph` and `providers` are the only modules that import onnxruntime.
"""
