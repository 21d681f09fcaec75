"""What the owner sees: the private listener, notifications, MQTT, the log."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from camiohookd.config.quantities import ByteSize, Duration
from camiohookd.config.values import Address, HostName, WebhookUrl


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
    """Whom to notify of trouble, once when it begins and once when it ends. docs/connect.md shows how."""

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
