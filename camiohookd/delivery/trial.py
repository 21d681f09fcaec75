"""Try whether labels could be delivered to a host, without sending any: name, addresses, connection, TLS."""

from camiohookd.delivery.allow_list import Target
from camiohookd.net.urls import split_url
from camiohookd.next_try import DeliveryStep
from camiohookd.outgoing.adapter import tls_context
from camiohookd.outgoing.attempt import Attempt
from camiohookd.outgoing.dialer import Dialer
from camiohookd.outgoing.resolver import Resolver

SECONDS = 10.0
"""The limit of each step."""


def try_target(target: Target, certificates: str) -> None:
    """Connect as a delivery would, and close. Raises OSError.

    `certificates` verify the server, as `ca_store.trusted_certificates` returns them.
    """
    origin, _ = split_url(target.url)
    host = origin.host.strip("[]")
    dialer = Dialer(Resolver())
    attempt = Attempt(
        lambda name, port, trial: dialer.dial(name, port, trial, any_address=target.any_address),
        connect=SECONDS,
        read=SECONDS,
        deadline=3 * SECONDS,
    )
    attempt.step = DeliveryStep.DIAL
    with attempt.dial(host, origin.port, attempt) as connection:
        if origin.scheme == "https":
            connection.settimeout(SECONDS)
            tls_context(certificates).wrap_socket(connection, server_hostname=host).close()
