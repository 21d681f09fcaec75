"""What can be set, what each setting is when nothing is said, and its description, once and for all.

`config` reads a file and the environment into these sections; `configdoc` makes the example file and the README's
table of them.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from camiohookd.config.values import Address, AllowedHost, ApiKey, ByteSize, Duration, Network, OptionalByteSize
from camiohookd.wire.reply import LabelsFormat

KEY_ADVICE = 'make one with "openssl rand -hex 24"'

Count = Annotated[int, Meta(ge=1)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Probability = Fraction
LabelName = Annotated[str, Meta(min_length=1, max_length=200)]


class HookSettings(Struct, frozen=True):
    """The public listener, which Camio posts to."""

    listen: Annotated[Address, Meta(description="Where events come in.")] = Address("0.0.0.0:8000")
    api_key: Annotated[
        ApiKey,
        Meta(
            description="The key in the registered URL, your own invention, better of 32 characters and more; "
            f"{KEY_ADVICE}. There is no default: without a key the daemon does not start."
        ),
    ] = ApiKey("")
    api_keys_file: Annotated[
        str,
        Meta(
            description="A file with more keys, a line each: a name for the log, a space, the key; "
            'if not set, the file "api-keys" beside this one, if there is one. "camiohookd key" writes it.'
        ),
    ] = ""
    tls_cert: Annotated[
        str,
        Meta(
            description="The file of the certificate and those up to its root, as PEM: then events come in by https "
            "alone. If not set, they come in by plain http, for behind a tunnel or proxy that does the https."
        ),
    ] = ""
    tls_key: Annotated[
        str,
        Meta(description="The file of the certificate's private key, as PEM; not needed where tls_cert's holds it."),
    ] = ""
    trusted_proxies: Annotated[
        tuple[Network, ...], Meta(description="Proxies whose X-Forwarded-For is believed, each by its address.")
    ] = ()
    max_connections: Annotated[
        Count,
        Meta(
            description="Most connections at one time; over it one that has shown no key gives way, the oldest of the "
            "address that has the most of them."
        ),
    ] = 1024
    max_connections_per_address: Annotated[
        Count,
        Meta(description="Most of them from one address; this machine, and trusted proxies themselves, may have more."),
    ] = 64
    max_wrong_keys: Annotated[
        Count,
        Meta(
            description="Wrong keys from one address (excepted as above) that are answered 403; the next are answered "
            "429, with a wait that doubles. A right key never is."
        ),
    ] = 10
    max_header_bytes: Annotated[ByteSize, Meta(description="The longest request line and headers.")] = ByteSize(
        "16 KiB"
    )
    header_timeout: Annotated[Duration, Meta(description="How long a request's headers may take to arrive.")] = (
        Duration("10s")
    )
    idle_timeout: Annotated[Duration, Meta(description="How long a connection is kept between two requests.")] = (
        Duration("60s")
    )
    max_body_bytes: Annotated[
        ByteSize, Meta(description="The largest event, also after it is unpacked; a larger one is answered 413.")
    ] = ByteSize("32 MiB")
    min_body_rate: Annotated[
        ByteSize, Meta(description="Bytes a second that an event must arrive at; header_timeout is allowed on top.")
    ] = ByteSize("16 KiB")
    max_images: Annotated[Count, Meta(description="Most pictures in an event.")] = 1000
    max_json_bytes: Annotated[
        ByteSize,
        Meta(description="The largest event without its pictures' base64; a larger one is answered 400."),
    ] = ByteSize("512 KiB")
    max_json_depth: Annotated[
        int, Meta(ge=4, le=200, description="How deep an event's lists and objects may be nested.")
    ] = 64


class QueueSettings(Struct, frozen=True):
    """The events that wait on the disk."""

    max_tasks: Annotated[Count, Meta(description="Most events waiting; over it the answer is 503.")] = 100_000
    max_bytes: Annotated[
        OptionalByteSize,
        Meta(description="Most disk space. 0: all that is free except min_free_bytes, at most 20 GB."),
    ] = OptionalByteSize(0)
    min_free_bytes: Annotated[OptionalByteSize, Meta(description="Disk space that is left free.")] = OptionalByteSize(
        "200 MB"
    )
    max_age: Annotated[Duration, Meta(description="How long a delivery is tried before the event fails.")] = Duration(
        "14d"
    )
    order: Annotated[
        Literal["oldest", "newest"],
        Meta(description="Which event is labelled first; newest: fresh ones before the backlog of an outage."),
    ] = "oldest"
    fair: Annotated[
        bool,
        Meta(description="Whether cameras take turns at being labelled; order then holds within a camera."),
    ] = True
    done_keep: Annotated[
        Duration, Meta(description="How long a delivered event is remembered, without pictures, to know it again.")
    ] = Duration("24h")
    failed_keep: Annotated[
        Duration, Meta(description="How long a failed event is kept, with its pictures unless room is short.")
    ] = Duration("7d")
    max_done: Annotated[Count, Meta(description="Most delivered events remembered.")] = 100_000
    max_failed: Annotated[Count, Meta(description="Most failed events kept.")] = 10_000


class LabelerSettings(Struct, frozen=True):
    """What looks at the pictures."""

    kind: Annotated[
        Literal["onnx", "python", "command"],
        Meta(
            description="onnx: a model, run on this machine; python: the compute_labels of a script of yours; "
            "command: a program of yours."
        ),
    ] = "onnx"
    model: Annotated[
        str, Meta(min_length=1, description="The model's name among the installed ones, or the path of its folder.")
    ] = "ssdlite-mobilenet-v2-coco"
    device: Annotated[
        str,
        Meta(
            min_length=1,
            description='What the model runs on: "auto", the fastest that finds what the CPU finds; "cpu", "gpu" or '
            '"npu"; or an execution provider\'s name, options of its own behind it as key=value; "camiohookd devices" '
            "lists them.",
        ),
    ] = "auto"
    plugins: Annotated[
        tuple[str, ...],
        Meta(description="Libraries with more execution providers, beside those in /usr/lib/camiohookd/plugins."),
    ] = ()
    threads: Annotated[
        Literal["auto"] | Annotated[int, Meta(ge=1, le=256)],
        Meta(description="Threads that label and share an event; auto: as many as there are cores."),
    ] = "auto"
    spinning: Annotated[
        bool, Meta(description="Whether waiting threads keep their core busy: little is won, much power lost.")
    ] = False
    deadline: Annotated[
        Duration,
        Meta(description="How long a picture (of your own code: an event) may take before its labeler is given up."),
    ] = Duration("60s")
    script: Annotated[str, Meta(description="The file with compute_labels.")] = "/etc/camiohookd/labeler.py"
    interpreter: Annotated[
        str, Meta(description='The Python that runs the script, 3.8 or newer; "": camiohookd\'s own.')
    ] = ""
    command: Annotated[
        tuple[str, ...], Meta(description="The program and its arguments; the README says what it reads and writes.")
    ] = ()


class ImagesSettings(Struct, frozen=True):
    """Which pictures are taken."""

    formats: Annotated[
        tuple[Literal["jpeg", "png", "webp"], ...], Meta(min_length=1, description="File formats that are opened.")
    ] = ("jpeg",)
    max_pixels: Annotated[Count, Meta(description="Largest picture, width times height.")] = 40_000_000
    max_bytes: Annotated[ByteSize, Meta(description="Largest picture file; longer base64 is not even decoded.")] = (
        ByteSize("20 MB")
    )
    max_decoded_bytes: Annotated[
        ByteSize,
        Meta(
            description="Most memory for decoded pictures in all threads together; a picture waits until there is "
            "room, and one that needs more alone is left out."
        ),
    ] = ByteSize("400 MB")


class CallbackSettings(Struct, frozen=True):
    """How labels go back to Camio."""

    allow_hosts: Annotated[
        tuple[AllowedHost, ...],
        Meta(
            description="Where labels may be sent: a host, over https, at port 443 and at public addresses; anything "
            "else as an origin in full."
        ),
    ] = (AllowedHost("camio.com"), AllowedHost("*.camio.com"))
    ca: Annotated[
        str,
        Meta(
            min_length=1,
            description='The certificates that vouch for these hosts: "system", the operating system\'s; "certifi", '
            "those that come along; or a file of your own, as PEM.",
        ),
    ] = "system"
    concurrency: Annotated[int, Meta(ge=1, le=256, description="Deliveries at one time.")] = 4
    connect_timeout: Annotated[
        Duration, Meta(description="How long a host's name, and each of its addresses, may take to answer.")
    ] = Duration("10s")
    read_timeout: Annotated[Duration, Meta(description="How long the answer may stay silent.")] = Duration("30s")
    timeout: Annotated[Duration, Meta(description="How long one delivery may take in all.")] = Duration("60s")
    retry_min: Annotated[Duration, Meta(description="Longest wait before the second try; it doubles each time.")] = (
        Duration("5s")
    )
    retry_max: Annotated[Duration, Meta(description="Longest wait between two tries.")] = Duration("10min")


class AdminSettings(Struct, frozen=True):
    """The private listener: /metrics, /healthz, /readyz, /openapi.json."""

    listen: Annotated[
        Address, Meta(description="Where it listens: an address of this machine alone, 127.0.0.1 or ::1.")
    ] = Address("127.0.0.1:8001")


class LogSettings(Struct, frozen=True):
    """What is written to the journal."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="The least important line that is written.")
    ] = "info"


class Zone(Struct, frozen=True):
    """A part of the camera's picture, as many of these in a rule as you like.

    An object counts by the middle of its bottom edge: where it stands.
    """

    name: Annotated[
        str, Meta(min_length=1, description="What the zone is called where labels are explained.", examples=["drive"])
    ]
    polygon: Annotated[
        tuple[tuple[Fraction, Fraction], ...],
        Meta(
            min_length=3,
            description="Its corners as [x, y] in fractions of the picture: [0, 0] is the top left, [1, 1] the bottom "
            "right.",
            examples=[((0.1, 0.5), (0.9, 0.5), (1.0, 1.0), (0.0, 1.0))],
        ),
    ]
    kind: Annotated[
        Literal["include", "exclude"],
        Meta(description="include: what stands outside all such zones is left out; exclude: what stands inside is."),
    ] = "include"


class Rule(Struct, frozen=True):
    """What is sent for a camera, as many of these as you like; the most specific one holds.

    That is the one with the camera's very name; else the one whose pattern has the most letters beside "*"; of equals
    the first.
    """

    camera: Annotated[str, Meta(description='The camera\'s name; "*" stands for any letters.')] = "*"
    labels_format: Annotated[
        LabelsFormat,
        Meta(description="image: labels of each picture, with outlines; event: Camio's older flat list of labels."),
    ] = "image"
    min_probability: Annotated[
        Probability | None,
        Meta(description="Labels below it are left out; not set: the model's own.", examples=[0.5]),
    ] = None
    min_probability_of: Annotated[
        dict[str, Probability],
        Meta(description="The same for single labels, such as { person = 0.4, dog = 0.7 }; these win."),
    ] = {}
    labels: Annotated[
        tuple[str, ...], Meta(description="The only labels to send, as the labeler calls them; an empty list: all.")
    ] = ()
    ignore_labels: Annotated[tuple[str, ...], Meta(description="Labels that are never sent.")] = ()
    label_map: Annotated[
        dict[str, LabelName],
        Meta(
            description='Labels that are sent under another name, such as { person = "people" }; all other settings '
            "of the rule mean the name before."
        ),
    ] = {}
    min_area: Annotated[
        Fraction,
        Meta(description="Objects whose box is a smaller part of the picture are left out; 0.01 is a hundredth of it."),
    ] = 0.0
    max_area: Annotated[
        Fraction, Meta(description="Objects whose box is a larger part of the picture are left out.")
    ] = 1.0
    nothing_label: Annotated[
        LabelName | None,
        Meta(description="What is sent for an event in which nothing is found.", examples=["nothing"]),
    ] = None
    zone: tuple[Zone, ...] = ()
