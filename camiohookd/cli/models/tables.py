"""The contents of a new model's `model.toml`: what was given, else what was found out, and the labels' names."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camiohookd.cli.models.trial import read_file
from camiohookd.errors import ModelError

if TYPE_CHECKING:
    from camiohookd.labelers.onnx.contract import Contract
    from camiohookd.labelers.onnx.examine import Examined


def tables_of(
    examined: "Examined", contract: "Contract", file: Path, given: Mapping[str, Any], *, placeholders: bool = False
) -> dict[str, Any]:
    """Return the contents of the `model.toml`: options where given, else derived from the graph.

    With `placeholders`, labels without a name get a number.
    """
    import hashlib

    from camiohookd.labelers.library import MODEL_FILE

    picture = examined.picture
    try:
        labels, options = _labels(contract, given["labels_file"], examined.metadata.names)
    except ModelError:
        if not placeholders:
            raise
        labels = tuple(f"label {nth}" for nth in range(1, (contract.labels or 100) + 1))
        options = dict(contract.options)
    keys = {"color_order": "color_order", "range": "value_range", "resize": "resize", "mean": "mean", "std": "std"}
    chosen = {key: given[option] for key, option in keys.items() if given[option] is not None}
    usual = dict(contract.preparation)
    if picture.type == "tensor(uint8)":
        usual = {key: value for key, value in usual.items() if key not in ("mean", "std")} | {"range": "0..255"}
    place = {"name": picture.name, "width": picture.width, "height": picture.height, "layout": picture.layout}
    tables = {
        "task": contract.task,
        "decoder": contract.decoder,
        "file": MODEL_FILE,
        "sha256": hashlib.sha256(examined.model).hexdigest(),
        "licence": given["licence"] or examined.metadata.licence or "unknown",
        "source": given["source"] or file.name,
        "labels": list(labels),
        "input": place | usual | chosen,
        "outputs": dict(contract.outputs),
        "options": options,
        "constants": examined.constants,
        "thresholds": {"score": given["score"], "iou": 0.6},
    }
    return {key: value for key, value in tables.items() if value != {}}


def _labels(
    contract: "Contract", file: Path | str | None, named: tuple[str, ...]
) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Return the labels' names and the decoder's options. Raises ModelError if the names are not known."""
    from camiohookd.labelers.label_names import coco_by_id, imagenet_names, known_names

    options = dict(contract.options)
    if isinstance(file, Path):
        return names_in(file), options
    if file == "imagenet":
        return (known_names(contract.labels) if contract.labels else None) or imagenet_names(), options
    one_output = bool(options.get("one_output")) and len(named) in (1, 2)
    if named and (contract.labels in (0, len(named)) or one_output) and file is None:
        return named, options
    if names := known_names(contract.labels):
        return names, options
    if file == "coco":
        coco = coco_by_id()
        from_1 = contract.decoder in ("tf_od", "torchvision")
        return coco if from_1 else tuple(name for name in coco if name), options
    many = {0: "labels", 1: "label"}.get(contract.labels, f"{contract.labels} labels")
    if options.get("one_output"):
        many = "one or two labels, of which the second is the probable one at 1"
    raise ModelError(
        f"the model's file does not name its {many}; give them with --labels FILE, one per line, "
        "or --labels coco if they are COCO's"
    )


def names_in(file: Path) -> tuple[str, ...]:
    """Return the names in a file with one per line."""
    return tuple(read_file(file).decode(errors="replace").splitlines())
