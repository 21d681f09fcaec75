"""The public listener, which Camio posts to."""

from typing import Annotated

from msgspec import Meta, Struct

from camiohookd.config.quantities import ByteSize, Count, Duration
from camiohookd.config.values import Address, ApiKey, Network, PublicUrl

KEY_ADVICE = 'make one with "openssl rand -hex 24"'


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
