"""Export real architectures, with random weights, by the usual exporters. Run it in an environment that has them.

python export.py FOLDER     one NAME.onnx for each entry of `EXPORTS`
"""

import os
import shutil
import sys
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

OPSET = 17


def ultralytics(configuration: str, target: Path, **options: Any) -> None:
    from ultralytics import YOLO

    made = YOLO(configuration).export(format="onnx", simplify=False, **{"opset": OPSET, **options})
    shutil.move(made, target)


def ultralytics_rtdetr(target: Path) -> None:
    from ultralytics import RTDETR

    shutil.move(RTDETR("rtdetr-l.yaml").export(format="onnx", simplify=False, opset=OPSET, imgsz=320), target)


def rfdetr(target: Path) -> None:
    from rfdetr import RFDETRNano

    folder = target.parent / "rfdetr"
    RFDETRNano(pretrain_weights=None, device="cpu").export(output_dir=str(folder))
    shutil.move(folder / "rfdetr-nano.onnx", target)


def torchvision_detector(target: Path) -> None:
    import torch
    from torchvision.models.detection import ssdlite320_mobilenet_v3_large

    model = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None)
    _export(model, ([torch.rand(3, 320, 320)],), target)


def torchvision_classifier(target: Path) -> None:
    import torch
    from torchvision.models import mobilenet_v3_small

    _export(mobilenet_v3_small(weights=None), (torch.rand(1, 3, 224, 224),), target)


def torchvision_fasterrcnn(target: Path) -> None:
    import torch
    from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn

    model = fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None)
    names = {"input_names": ["images"], "output_names": ["boxes", "labels", "scores"]}
    _export(model, ([torch.rand(3, 320, 320)],), target, **names, dynamic_axes={"images": {1: "h", 2: "w"}})


def transformers_yolos(target: Path) -> None:
    from transformers import YolosConfig, YolosForObjectDetection

    configuration = YolosConfig(
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        image_size=[256, 256],
        num_labels=91,
        use_mid_position_embeddings=False,
    )
    _export_transformer(YolosForObjectDetection(configuration), target)


def transformers_detr(target: Path) -> None:
    from transformers import DetrConfig, DetrForObjectDetection, ResNetConfig

    backbone = ResNetConfig(
        embedding_size=16, hidden_sizes=[16, 32, 48, 64], depths=[1, 1, 1, 1], out_features=["stage4"]
    )
    small = {f"{part}_{what}": size for part in ("encoder", "decoder") for what, size in _SMALL.items()}
    configuration = DetrConfig(
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone=None,
        backbone_config=backbone,
        num_labels=91,
        d_model=64,
        **small,
    )
    _export_transformer(DetrForObjectDetection(configuration), target)


def transformers_rtdetr(target: Path) -> None:
    from transformers import RTDetrConfig, RTDetrForObjectDetection, RTDetrResNetConfig

    backbone = RTDetrResNetConfig(
        embedding_size=16,
        hidden_sizes=[16, 32, 48, 64],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )
    configuration = RTDetrConfig(
        num_labels=80,
        backbone_config=backbone,
        encoder_in_channels=[32, 48, 64],
        encoder_hidden_dim=64,
        encoder_ffn_dim=64,
        d_model=64,
        decoder_in_channels=[64, 64, 64],
        decoder_ffn_dim=64,
        decoder_layers=2,
    )
    _export_transformer(RTDetrForObjectDetection(configuration), target)


def transformers_dfine(target: Path) -> None:
    from transformers import DFineConfig, DFineForObjectDetection, HGNetV2Config

    backbone = HGNetV2Config(out_features=["stage2", "stage3", "stage4"])
    _export_transformer(DFineForObjectDetection(DFineConfig(num_labels=80, backbone_config=backbone)), target)


_SMALL = {"layers": 1, "attention_heads": 2, "ffn_dim": 64}


def _export_transformer(model: Any, target: Path) -> None:
    import torch

    class Outputs(torch.nn.Module):
        """The two outputs that Optimum's exporter keeps."""

        def forward(self, pixels: Any) -> Any:
            found = model(pixel_values=pixels)
            return found.logits, found.pred_boxes

    names = {"input_names": ["pixel_values"], "output_names": ["logits", "pred_boxes"]}
    outputs = Outputs()
    outputs.model = model  # its weights are the module's
    _export(outputs, (torch.rand(1, 3, 256, 256),), target, **names)


def _export(model: Any, arguments: Any, target: Path, **names: Any) -> None:
    import torch

    model.eval()
    with torch.no_grad():
        torch.onnx.export(model, arguments, str(target), opset_version=OPSET, dynamo=False, **names)


EXPORTS: Mapping[str, Callable[[Path], None]] = {
    "yolov8": partial(ultralytics, "yolov8n.yaml"),
    "yolo11-dynamic": partial(ultralytics, "yolo11n.yaml", dynamic=True, imgsz=320),
    "yolo11-nms": partial(ultralytics, "yolo11n.yaml", nms=True, imgsz=320),
    "yolov10": partial(ultralytics, "yolov10n.yaml", imgsz=320, nms=False),
    "yolov10-raw": partial(ultralytics, "yolov10n.yaml", imgsz=320),
    "yolov8-wide": partial(ultralytics, "yolov8n.yaml", imgsz=(256, 416)),
    "yolov8-opset12": partial(ultralytics, "yolov8n.yaml", imgsz=320, opset=12),
    "yolov8-opset20": partial(ultralytics, "yolov8n.yaml", imgsz=320, opset=20),
    "yolov5u": partial(ultralytics, "yolov5n.yaml", imgsz=320),
    "yolov8-batch": partial(ultralytics, "yolov8n.yaml", imgsz=320, batch=4),
    "yolov8-seg": partial(ultralytics, "yolov8n-seg.yaml", imgsz=320),
    "yolov8-cls": partial(ultralytics, "yolov8n-cls.yaml", imgsz=224),
    "yolov8-pose": partial(ultralytics, "yolov8n-pose.yaml", imgsz=320),
    "yolov8-obb": partial(ultralytics, "yolov8n-obb.yaml", imgsz=320),
    "torchvision-ssdlite": torchvision_detector,
    "torchvision-mobilenet": torchvision_classifier,
    "torchvision-fasterrcnn": torchvision_fasterrcnn,
    "ultralytics-rtdetr": ultralytics_rtdetr,
    "rfdetr": rfdetr,
    "transformers-detr": transformers_detr,
    "transformers-rtdetr": transformers_rtdetr,
    "transformers-dfine": transformers_dfine,
    "transformers-yolos": transformers_yolos,
}


def main(folder: Path) -> None:
    warnings.filterwarnings("ignore")
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)  # Ultralytics writes where it is
    for name, export in EXPORTS.items():
        export(folder / f"{name}.onnx")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
