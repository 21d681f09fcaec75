#!/usr/bin/env python3
"""Quantize the converted model to static 8 bit (QDQ), calibrated on 20 photographs.

    python3 -m venv quantization && quantization/bin/pip install -r quantize-requirements.txt
    export ORT_DISABLE_TELEMETRY=1
    quantization/bin/python quantize.py ssdlite_mobilenet_v2_coco.onnx ssdlite_mobilenet_v2_coco_int8.onnx PHOTOGRAPHS

PHOTOGRAPHS is a folder of .jpg files that resemble the cameras' pictures; the first 20 by name are used. The same
float32 model and photographs always give the same bytes.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process
from PIL import Image

PHOTOGRAPHS = 20
SIZE = (300, 300)
FLOAT_TENSORS = ("Preprocessor", "boxes", "scores")  # boxes and scores lose too much in 8 bit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="the float32 .onnx file")
    parser.add_argument("target", type=Path, help="the 8 bit .onnx file to write")
    parser.add_argument("photographs", type=Path, help="the folder with the photographs")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        prepared = Path(work, "prepared.onnx")
        quant_pre_process(arguments.source, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            arguments.target,
            Photographs(arguments.photographs),
            quant_format=QuantFormat.QDQ,
            calibrate_method=CalibrationMethod.MinMax,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,  # 7 bit weights: 8 bit ones overflow on x86 without VNNI, and AP falls from .29 to .01
            op_types_to_quantize=["Conv", "Clip", "Add", "Sum"],
            nodes_to_exclude=float_nodes(prepared),
        )


class Photographs(CalibrationDataReader):
    """The photographs in the form that the daemon gives to the model."""

    def __init__(self, folder: Path) -> None:
        self._files = iter(sorted(folder.glob("*.jpg"))[:PHOTOGRAPHS])

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        file = next(self._files, None)
        if file is None:
            return None
        image = Image.open(file).convert("RGB").resize(SIZE, Image.Resampling.BILINEAR)
        return {"images": np.asarray(image).transpose(2, 0, 1)[np.newaxis].astype(np.float32, order="C")}


def float_nodes(model: Path) -> list[str]:
    return [
        node.name
        for node in onnx.load(model).graph.node
        if any("Postprocessor" in name or name.startswith(FLOAT_TENSORS) for name in node.output)
    ]


if __name__ == "__main__":
    main()
