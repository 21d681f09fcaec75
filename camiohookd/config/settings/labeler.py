"""What labels the pictures, and which pictures are accepted."""

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from camiohookd.config.detail import Detail, Static
from camiohookd.config.quantities import ByteSize, Count, Duration
from camiohookd.config.settings.remote import RemoteSettings, SpillSettings

CameraPattern = Annotated[str, Meta(min_length=1)]
Label = Annotated[str, Meta(min_length=1, max_length=200)]


class LabelerSettings(Struct, frozen=True):
    """What labels the pictures. For several labelers, write [[labeler]] several times; they are asked in this order."""

    kind: Annotated[
        Literal["onnx", "python", "command", "remote"],
        Meta(
            description="onnx: a model that runs on this machine; python: the function compute_labels of your own "
            "script; command: your own program; remote: the servers under [labeler.remote]."
        ),
    ] = "onnx"
    model: Annotated[
        str, Meta(min_length=1, description="The name of an installed model, or the path of its folder.")
    ] = "ssdlite-mobilenet-v2-coco"
    detail: Annotated[
        Detail,
        Meta(
            description="How closely to look at pictures. whole: label the whole picture only. 2x2, 3x3: also label "
            "so many overlapping tiles. tiles: also label as many tiles as the picture has pixels for. auto: also "
            "label tiles where the pictures of an event differ; the more events wait, the fewer tiles, down to none. "
            "Each tile takes a run of the model. Your own code gets whole pictures."
        ),
    ] = "auto"
    static: Annotated[
        Static,
        Meta(
            description="What is done with an object that is found at the same place with the same looks in event "
            "after event, such as a sign that looks like a person. mark: the log and the status page say so, and it is "
            "sent; drop: it is not sent; keep: nothing."
        ),
    ] = "mark"
    static_labels: Annotated[
        tuple[str, ...], Meta(description="The labels that static holds for; an empty list: all.")
    ] = ("person",)
    device: Annotated[
        str,
        Meta(
            min_length=1,
            description='What the model runs on: "auto" is the fastest device that gives the same results as the '
            'CPU; or "cpu", "gpu" or "npu"; or the name of an execution provider, with its options as key=value. '
            '"camiohookd devices" lists them.',
        ),
    ] = "auto"
    plugins: Annotated[
        tuple[str, ...],
        Meta(description="Libraries with more execution providers, in addition to /usr/lib/camiohookd/plugins."),
    ] = ()
    threads: Annotated[
        Literal["auto"] | Annotated[int, Meta(ge=1, le=256)],
        Meta(description="Threads that label and share an event; auto: as many as there are cores."),
    ] = "auto"
    spinning: Annotated[
        bool, Meta(description="Without effect; accepted because settings of version 0.1.0 may have it.")
    ] = False
    deadline: Annotated[
        Duration,
        Meta(description="How long the labeler may take for a picture (your own code: for an event)."),
    ] = Duration("60s")
    script: Annotated[str, Meta(description="The file with compute_labels.")] = "/etc/camiohookd/labeler.py"
    interpreter: Annotated[
        str, Meta(description='The Python (3.8 or newer) that runs the script; "": the one that is part of camiohookd.')
    ] = ""
    command: Annotated[
        tuple[str, ...],
        Meta(description="The program and its arguments; docs/own-code.md describes what it reads."),
    ] = ()
    name: Annotated[
        str,
        Meta(
            max_length=100,
            description="The labeler's name in the log, the metrics and the explanations of labels; if not set, the "
            "name of the model, the script or the program.",
        ),
    ] = ""
    cameras: Annotated[
        tuple[CameraPattern, ...],
        Meta(
            min_length=1, description="The cameras whose events it labels: names, or patterns as in the rules' camera."
        ),
    ] = ("*",)
    required: Annotated[
        bool | None,
        Meta(
            description="true: an event waits while this labeler does not work; false: it is labeled without its "
            "labels. If not set, the first labeler is required and the others are not.",
            examples=[True],
        ),
    ] = None
    on: Annotated[
        tuple[Label, ...],
        Meta(
            description="Objects that earlier labelers found, by their labels: this labeler gets only these parts of "
            "the pictures. An empty list gives it the pictures as a whole."
        ),
    ] = ()
    remote: RemoteSettings = RemoteSettings()
    spill: SpillSettings = SpillSettings()

    @property
    def title(self) -> str:
        """The name that is set, otherwise one made of the other settings."""
        if self.name:
            return self.name
        match self.kind:
            case "python":
                return Path(self.script).name
            case "command":
                return Path(self.command[0]).name if self.command else "command"
            case "remote":
                return self.remote.model_name or Path(self.model).name
        return Path(self.model).name


class ImagesSettings(Struct, frozen=True):
    """Which pictures are accepted."""

    formats: Annotated[
        tuple[Literal["jpeg", "png", "webp"], ...], Meta(min_length=1, description="The file formats to accept.")
    ] = ("jpeg",)
    max_pixels: Annotated[Count, Meta(description="The most pixels of a picture, width times height.")] = 40_000_000
    max_bytes: Annotated[ByteSize, Meta(description="The largest picture file; longer base64 is not decoded.")] = (
        ByteSize("20 MB")
    )
    max_decoded_bytes: Annotated[
        ByteSize,
        Meta(
            description="The most memory for decoded pictures in all threads together; a picture waits until there is "
            "room, and one that needs more alone is left out."
        ),
    ] = ByteSize("400 MB")
