"""Run models in the ONNX format on the devices that ONNX Runtime finds.

open          settings → a labeler; the daemon calls this
labeler       frames → tensor → a `Runner` → decoder → detections
session       the model's bytes → a `Runner` on one device; `cache` keeps what is slow about that
tuned_graph   a quantized model's graph → one that takes bytes
devices       names of devices; `providers` what ONNX Runtime has
throughput    pictures a second
examine       a new model's file → how to use it: `model_file` changes the file, `metadata` and a trial run say what it
              is, and the `readers` of `graph_guess` return each `contract` that fits
features      what a model's backbone computes of a picture, which labels are taught with
accelerators  devices besides the CPU: tried out (`survey`, `probe`, `agreement`), and what happens when they fail
              (`fallback`, `crash_marker`)

`session`, `graph` and `providers` are the only modules that import onnxruntime.
"""
