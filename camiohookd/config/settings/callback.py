"""How labels are delivered."""

from typing import Annotated

from msgspec import Meta, Struct

from camiohookd.config.quantities import Duration
from camiohookd.config.values import AllowedHost


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
