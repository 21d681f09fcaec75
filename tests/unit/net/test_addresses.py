from ipaddress import ip_address

import pytest

from camiohookd.net.addresses import is_loopback, why_host_not_public, why_not_public


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("0.0.0.0", "an unspecified address"), ("10.255.255.255", "a private address"),
        ("100.64.0.0", "a carrier-NAT address"), ("100.127.255.255", "a carrier-NAT address"),
        ("127.255.255.255", "a loopback address"), ("169.254.169.254", "a link-local address"),
        ("172.16.0.0", "a private address"), ("172.31.255.255", "a private address"),
        ("192.0.0.170", "a reserved address"), ("192.88.99.1", "a reserved address"),
        ("198.19.255.255", "a benchmarking address"), ("239.255.255.255", "a multicast address"),
        ("255.255.255.255", "a reserved address"),
        ("::", "an unspecified address"), ("::1", "a loopback address"), ("fdff::1", "a private address"),
        ("febf::1", "a link-local address"), ("ff0e::1", "a multicast address"), ("2001:1ff::1", "a reserved address"),
        ("64:ff9b:1::1", "a reserved address"), ("4000::1", "a reserved address"), ("::8.8.8.8", "a reserved address"),
        ("::ffff:10.0.0.1", "a private address"), ("64:ff9b::7f00:1", "a loopback address"),
        ("2002:a9fe:a9fe::", "a link-local address"), ("2001:0:a00:1::f7f7:f7f7", "a private address"),
        ("2001:0:808:808::f5ff:fffe", "a private address"),
    ],
)  # fmt: skip
def test_names_the_kind_of_an_address_that_is_not_public(address: str, reason: str) -> None:
    assert why_not_public(ip_address(address)) == reason


@pytest.mark.parametrize(
    "address",
    [
        "1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "128.0.0.0", "172.15.255.255",
        "172.32.0.0", "192.0.1.0", "192.167.255.255", "198.17.255.255", "198.20.0.0", "223.255.255.255",
        "2000::", "2001:200::1", "2606:4700::1111", "3ffe::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1",
        "2001:0:808:808::f7f7:f7f7",
    ],
)  # fmt: skip
def test_neighboring_addresses_and_those_that_embed_public_ones_are_public(address: str) -> None:
    assert why_not_public(ip_address(address)) is None


@pytest.mark.parametrize(
    ("host", "is_public"),
    [
        ("camio.com", True), ("localhost.example", True), ("mylocal", False), ("notlocal.example", True),
        ("localhost", False), ("x.localhost", False), ("nas.local", False), ("vault.internal", False),
        ("box.home.arpa", False), ("arpa.example", True), ("[::1]", False), ("[2606:4700::1111]", True),
        ("10.0.0.1", False), ("8.8.8.8", True),
    ],
)  # fmt: skip
def test_a_host_is_public_by_its_address_or_its_name(host: str, is_public: bool) -> None:
    assert (why_host_not_public(host) is None) is is_public


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("[::1]", True),
     ("0.0.0.0", False), ("192.168.1.2", False), ("::", False), ("localhost.example", False), ("camio.com", False)],
)  # fmt: skip
def test_recognizes_loopback_names_and_addresses(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
