"""Models in the ONNX format, on whatever device ONNX Runtime finds for them.

session    the model's bytes → a `Runner` on one device (with `__main__` of this package's probes the only
           modules that import onnxruntime)
labeler    frames → tensor → a `Runner` → decoder → detections
"""
