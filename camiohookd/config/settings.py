"""Every setting outside the rules: its name, type, default and description.

`load` reads a file and the environment into these sections; `reference` writes the example file and the table of
settings from them. The settings of rules are in `rule`.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from camiohookd.config.values import (
    Address,
    AllowedHost,
    ApiKey,
    ByteSize,
    Duration,
    HostName,
    Network,
    OptionalByteSize,
    PublicUrl,
    WebhookUrl,
)

KEY_ADVICE = 'make one with "openssl rand -hex 24"'

Count = Annotated[int, Meta(ge=1)]


class HookSettings(Struct, frozen=True):
    """The public listener, which Camio posts to."""

    listen: Annotated[
        Address, Meta(description="The address to receive events on: host:port; 0.0.0.0 is every interface.")
    ] = Address("0.0.0.0:8000")
    public_url: Annotated[
        PublicUrl,
        Meta(
            description='The address under which Camio reaches this box. The service does not use it: "camiohookd '
            'hooks create" registers it, and "camiohookd doctor" tries it from outside.'
        ),
    ] = PublicUrl("")
    query: Annotated[
        str,
        Meta(
            description="Which events Camio posts, such as \"camera == 'front'\"; 1==1 is every event. The service "
            'does not use it: "camiohookd hooks create" registers it, and "camiohookd hooks test" tries it.'
        ),
    ] = ""
    api_key: Annotated[
        ApiKey,
        Meta(
            description="The key in the registered URL: any secret you choose; 32 or more characters recommended; "
            f"{KEY_ADVICE}. There is no default: without a key the daemon does not start."
        ),
    ] = ApiKey("")
    api_keys_file: Annotated[
        str,
        Meta(
            description="A file with more keys, one on each line: a name for the log, a space, the key. If not set, "
            'the file "api-keys" beside this one is read, if it exists. "camiohookd key" writes it.'
        ),
    ] = ""
    tls_cert: Annotated[
        str,
        Meta(
            description="The PEM file of the certificate and its chain. If set, events are received by https only. "
            "If not set, they are received by plain http, which is meant for use behind a tunnel or an https proxy."
        ),
    ] = ""
    tls_key: Annotated[
        str,
        Meta(description="The PEM file of the certificate's private key; not needed if the file tls_cert contains it."),
    ] = ""
    trusted_proxies: Annotated[
        tuple[Network, ...], Meta(description="The addresses of proxies whose X-Forwarded-For header is trusted.")
    ] = ()
    max_connections: Annotated[
        Count,
        Meta(
            description="The most connections at one time. Over the limit, a connection that has not shown a valid "
            "key is closed: the oldest one of the address that has the most."
        ),
    ] = 1024
    max_connections_per_address: Annotated[
        Count,
        Meta(
            description="The most connections from one address; this limit does not apply to this machine and to "
            "trusted proxies."
        ),
    ] = 64
    max_wrong_keys: Annotated[
        Count,
        Meta(
            description="The number of wrong keys from one address (with the same exceptions) that are answered 403; "
            "after that they are answered 429, with a wait that doubles. A right key is always accepted."
        ),
    ] = 10
    max_header_bytes: Annotated[ByteSize, Meta(description="The most bytes of a request's headers.")] = ByteSize(
        "16 KiB"
    )
    header_timeout: Annotated[Duration, Meta(description="How long the headers of a request may take to arrive.")] = (
        Duration("10s")
    )
    idle_timeout: Annotated[Duration, Meta(description="How long an idle connection is kept open.")] = Duration("60s")
    max_body_bytes: Annotated[
        ByteSize, Meta(description="The largest event, before and after decompression; a larger one is answered 413.")
    ] = ByteSize("32 MiB")
    min_body_rate: Annotated[
        ByteSize, Meta(description="The least bytes per second at which an event must arrive, after header_timeout.")
    ] = ByteSize("16 KiB")
    max_images: Annotated[Count, Meta(description="The most pictures in an event.")] = 1000
    max_json_bytes: Annotated[
        ByteSize,
        Meta(description="The largest event without its pictures' base64; a larger one is answered 400."),
    ] = ByteSize("512 KiB")
    max_json_depth: Annotated[
        int, Meta(ge=4, le=200, description="How deeply the lists and objects of an event may be nested.")
    ] = 64


class QueueSettings(Struct, frozen=True):
    """The events that wait on the disk to be labelled and delivered."""

    max_tasks: Annotated[Count, Meta(description="The most events waiting; one more is answered 503.")] = 100_000
    max_bytes: Annotated[
        OptionalByteSize,
        Meta(description="The most disk space of the queue. 0: all that is free except min_free_bytes, at most 20 GB."),
    ] = OptionalByteSize(0)
    min_free_bytes: Annotated[OptionalByteSize, Meta(description="The disk space to leave free.")] = OptionalByteSize(
        "200 MB"
    )
    max_age: Annotated[Duration, Meta(description="How long delivery is tried before an event fails.")] = Duration(
        "14d"
    )
    order: Annotated[
        Literal["oldest", "newest"],
        Meta(description="Which event is labelled first; newest: new events before the backlog of an outage."),
    ] = "oldest"
    fair: Annotated[
        bool,
        Meta(description="Whether cameras take turns at being labelled; order then holds within a camera."),
    ] = True
    done_keep: Annotated[
        Duration,
        Meta(description="How long a delivered event is remembered, to recognise duplicates."),
    ] = Duration("24h")
    failed_keep: Annotated[
        Duration, Meta(description="How long a failed event is kept, with its pictures unless disk space is short.")
    ] = Duration("7d")
    max_done: Annotated[Count, Meta(description="The most delivered events to remember.")] = 100_000
    max_failed: Annotated[Count, Meta(description="The most failed events to keep.")] = 10_000


class LabelerSettings(Struct, frozen=True):
    """What labels the pictures."""

    kind: Annotated[
        Literal["onnx", "python", "command"],
        Meta(
            description="onnx: a model that runs on this machine; python: the function compute_labels of your own "
            "script; command: your own program."
        ),
    ] = "onnx"
    model: Annotated[
        str, Meta(min_length=1, description="The name of an installed model, or the path of its folder.")
    ] = "ssdlite-mobilenet-v2-coco"
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
            description="Most memory for decoded pictures in all threads together; a picture waits until there is "
            "room, and one that needs more alone is left out."
        ),
    ] = ByteSize("400 MB")


class CallbackSettings(Struct, frozen=True):
    """How labels are delivered to Camio."""

    allow_hosts: Annotated[
        tuple[AllowedHost, ...],
        Meta(
            description="Where labels may be sent. A host name allows https on port 443 at public addresses; "
            "anything else has to be an origin in full."
        ),
    ] = (AllowedHost("camio.com"), AllowedHost("*.camio.com"))
    ca: Annotated[
        str,
        Meta(
            min_length=1,
            description='The certificate authorities to trust: "system" is the store of the operating system; '
            '"certifi" is the list that is part of camiohookd; or a PEM file of your own.',
        ),
    ] = "system"
    concurrency: Annotated[int, Meta(ge=1, le=256, description="The most deliveries at one time.")] = 4
    connect_timeout: Annotated[
        Duration,
        Meta(description="How long a name look-up, and a connection to each address, may take."),
    ] = Duration("10s")
    read_timeout: Annotated[Duration, Meta(description="How long the answer may be silent.")] = Duration("30s")
    timeout: Annotated[Duration, Meta(description="How long one delivery may take in total.")] = Duration("60s")
    retry_min: Annotated[Duration, Meta(description="The longest wait before the second try; then it doubles.")] = (
        Duration("5s")
    )
    retry_max: Annotated[Duration, Meta(description="The longest wait between two tries.")] = Duration("10min")


class AdminSettings(Struct, frozen=True):
    """The private listener: the status page, /metrics, /healthz, /readyz, /openapi.json."""

    listen: Annotated[
        Address,
        Meta(
            description="The address to listen on. One that other machines can reach, such as 0.0.0.0:8001, takes a "
            'password ("camiohookd admin password"), and tls_cert or insecure.'
        ),
    ] = Address("127.0.0.1:8001")
    tls_cert: Annotated[
        str,
        Meta(
            description="The PEM file of the certificate and its chain for the private listener. If set, it is served "
            "by https only."
        ),
    ] = ""
    tls_key: Annotated[
        str,
        Meta(description="The PEM file of that certificate's private key; not needed if tls_cert contains it."),
    ] = ""
    hosts: Annotated[
        tuple[HostName, ...],
        Meta(
            description="Host names by which the status page may be opened, besides IP addresses, localhost and the "
            "names in the certificate."
        ),
    ] = ()
    insecure: Annotated[
        bool,
        Meta(
            description="Whether other machines may reach the private listener by plain http: anyone on the network "
            "can then read the password and the pictures."
        ),
    ] = False
    history: Annotated[
        int,
        Meta(
            ge=0,
            le=5000,
            description="How many of the last events the status page remembers, with small pictures; at most 32 MB of "
            "the state folder. 0: no events and no pictures.",
        ),
    ] = 500


class NotifySettings(Struct, frozen=True):
    """Whom to tell of trouble: each once when it begins and once when it is over. docs/connect.md shows how."""

    command: Annotated[
        tuple[str, ...],
        Meta(
            description="A program and its arguments, run without a shell for at most 30 s: it gets JSON on its "
            "standard input, and a sentence in the environment variable ALERT_TEXT. Not set: none."
        ),
    ] = ()
    webhook: Annotated[
        WebhookUrl,
        Meta(
            description="A URL to post the same JSON to. Exactly its scheme, host and port are allowed, also in a "
            "private network; redirects are not followed. Not set: none."
        ),
    ] = WebhookUrl("")
    queue_age: Annotated[Duration, Meta(description="How long an event may wait until that is trouble.")] = Duration(
        "30min"
    )
    disk_free: Annotated[
        ByteSize, Meta(description="The free space of the queue's disk below which that is trouble.")
    ] = ByteSize("500 MB")
    certificate: Annotated[Duration, Meta(description="How long before its end a certificate is trouble.")] = Duration(
        "14d"
    )


class MqttSettings(Struct, frozen=True):
    """An MQTT broker that events are published to, and Home Assistant behind it. docs/connect.md shows how."""

    host: Annotated[str, Meta(description="The name or the address of the broker. Not set: nothing is published.")] = ""
    port: Annotated[
        int, Meta(ge=0, le=65535, description="The port of the broker. 0: 8883 with tls, 1883 without.")
    ] = 0
    tls: Annotated[bool, Meta(description="Whether to connect by TLS; the broker's certificate is verified.")] = False
    ca: Annotated[
        str,
        Meta(
            description="A PEM file with the certificate authority of the broker. Not set: the store of the operating "
            "system."
        ),
    ] = ""
    username: Annotated[str, Meta(description="The name to log in with. Not set: no login.")] = ""
    password_file: Annotated[
        str, Meta(description="A file with the password of that name, which the service can read and others cannot.")
    ] = ""
    topic: Annotated[
        str, Meta(min_length=1, max_length=100, pattern="^[^+#\\x00]+$", description="What all topics begin with.")
    ] = "camiohookd"
    discovery: Annotated[
        str,
        Meta(
            max_length=100,
            pattern="^[^+#\\x00]*$",
            description='The discovery prefix of Home Assistant, to which the box and each camera are described; "": '
            "they are not.",
        ),
    ] = "homeassistant"
    pictures: Annotated[
        bool, Meta(description="Whether the last picture of each camera is published; others can then see it.")
    ] = False
    off_after: Annotated[
        Duration,
        Meta(description="How long Home Assistant shows a person, vehicle or animal after the last event with one."),
    ] = Duration("2min")


class LogSettings(Struct, frozen=True):
    """What is written to the log."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="The least severe lines to write.")
    ] = "info"
    format: Annotated[
        Literal["text", "json"],
        Meta(
            description="How lines are written: text for people; json, one object a line, for programs that collect "
            "logs. docs/connect.md names the fields."
        ),
    ] = "text"
