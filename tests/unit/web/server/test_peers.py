"""Find the client of a request, and the address group that its limits apply to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camiohookd.web.server.peers import Peer, Peers

PROXIED = Peers(["192.0.2.0/24", "127.0.0.1/32", "fd00::/8"])


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", ""])
def test_limits_of_one_address_do_not_apply_to_this_machine(address: str) -> None:
    assert Peers().connected(address).group is None
    assert Peers().client(address, "198.51.100.7").group is None, "nobody said that its word counts"


def test_groups_an_address_in_any_notation() -> None:
    assert Peers().connected("198.51.100.7") == Peer("198.51.100.7", "198.51.100.7")
    assert Peers().connected("::ffff:198.51.100.7").group == "198.51.100.7"


def test_groups_ipv6_addresses_by_their_first_64_bits() -> None:
    one, two = (Peers().connected(f"2001:db8:1:2:{end}") for end in (":1", "dead:beef:0:1"))
    assert one.group == two.group == "2001:db8:1:2::/64"
    assert one.name == "2001:db8:1:2::1"
    assert Peers().connected("2001:db8:1:3::1").group != one.group
    assert Peers().connected("fe80::1%eth0").group == "fe80::/64"


def test_ignores_forwarded_addresses_of_untrusted_peers() -> None:
    assert PROXIED.client("198.51.100.7", "203.0.113.1") == Peer("198.51.100.7", "198.51.100.7")


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("203.0.113.1", "203.0.113.1"),
        ("1.2.3.4, 203.0.113.1", "203.0.113.1"),
        ("1.2.3.4,203.0.113.1,192.0.2.9, 127.0.0.1", "203.0.113.1"),
        ("203.0.113.1:4711", "203.0.113.1"),
        ("[2001:db8::1]:4711", "2001:db8::/64"),
        ("2001:db8::1", "2001:db8::/64"),
        ("::ffff:203.0.113.1", "203.0.113.1"),
        ("garbage, 203.0.113.1", "203.0.113.1"),
    ],
)
@pytest.mark.parametrize("proxy", ["192.0.2.1", "127.0.0.1", "fd00::1", "::ffff:192.0.2.1"])
def test_the_client_is_the_last_forwarded_address_that_is_not_a_trusted_proxy(
    proxy: str, forwarded: str, client: str
) -> None:
    assert PROXIED.client(proxy, forwarded).group == client


@pytest.mark.parametrize(
    "forwarded", ["", "unknown", "1.2.3.4, unknown", "1.2.3.4, 192.0.2.1x, 192.0.2.9", "192.0.2.9"]
)
def test_limits_do_not_apply_to_a_trusted_proxy_that_forwards_no_address(forwarded: str) -> None:
    assert PROXIED.client("192.0.2.1", forwarded) == Peer("192.0.2.1", None)
    assert PROXIED.connected("192.0.2.1").group is None


@given(st.text(), st.text())
def test_any_header_gives_a_peer(address: str, forwarded: str) -> None:
    assert isinstance(PROXIED.client(address, forwarded), Peer)
    assert isinstance(PROXIED.client("192.0.2.1", forwarded), Peer)
