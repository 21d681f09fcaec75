import pytest
from hypothesis import given
from hypothesis import strategies as st

from camiohookd.config.quantities import ByteSize, Duration, OptionalByteSize
from camiohookd.config.values import Address, AllowedHost, ApiKey, Network


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("30s", 30), ("10min", 600), ("24h", 86400), ("14d", 1209600), ("1.5 h", 5400), (2, 2), (0.5, 0.5), ("7", 7)],
)
def test_reads_a_duration_in_every_notation_as_seconds(written: object, seconds: float) -> None:
    assert Duration(written) == seconds


@pytest.mark.parametrize(
    "written", ["", "s", "10 years", "-5s", 0, -1, True, None, float("nan"), float("inf"), "1e3", "9999d", "٣s", [1]]
)
def test_refuses_a_malformed_duration(written: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        Duration(written)


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("200 MB", 200_000_000),
        ("32MiB", 33_554_432),
        ("500 kB", 500_000),
        (1, 1),
        ("20", 20),
        ("1.5 GB", 1_500_000_000),
    ],
)
def test_reads_a_size_in_every_notation_as_bytes(written: object, size: int) -> None:
    assert ByteSize(written) == size


@pytest.mark.parametrize(
    "written", ["", "MB", "1 mb", -1, 0.5, True, float("inf"), float("nan"), "0.1 B", "1 TB", 1e30]
)
def test_refuses_a_malformed_size(written: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        ByteSize(written)


def test_allows_zero_only_for_sizes_where_it_has_a_meaning() -> None:
    assert OptionalByteSize(0) == 0
    with pytest.raises(ValueError, match="out of range"):
        ByteSize(0)


@given(st.integers(1, 1 << 59))
def test_a_size_is_the_same_after_writing_and_reading(size: int) -> None:
    assert ByteSize(ByteSize(size).as_toml().strip('"')) == size


@given(st.integers(1, 10**8))
def test_a_duration_is_the_same_after_writing_and_reading(seconds: int) -> None:
    assert Duration(Duration(seconds).as_toml().strip('"')) == float(seconds)


@pytest.mark.parametrize(
    ("written", "host", "port"),
    [("0.0.0.0:8000", "0.0.0.0", 8000), ("[::]:0", "::", 0), ("localhost:65535", "localhost", 65535)],
)
def test_an_address_is_a_host_and_a_port(written: str, host: str, port: int) -> None:
    address = Address(written)
    assert (address.host, address.port) == (host, port)
    assert address == written


@pytest.mark.parametrize(
    "written", ["8000", ":8000", "::1:80", "host:", "host:65536", "a b:1", "host:٣", 8000, "[x]:1"]
)
def test_refuses_an_address_without_host_or_port(written: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        Address(written)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Camio.com", "camio.com"),
        ("*.camio.com", "*.camio.com"),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("HTTPS://box.lan/", "https://box.lan:443"),
        ("http://[::1]:9000", "http://[::1]:9000"),
    ],
)
def test_an_allowed_host_is_a_name_a_pattern_or_an_origin(written: str, read: str) -> None:
    assert AllowedHost(written) == read


@pytest.mark.parametrize(
    "written", ["", "*", "*.", "a/b", "http://a/b", "ftp://a", "http://u:p@a", "a*b", "http://a:0", 1]
)
def test_refuses_an_ambiguous_host(written: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        AllowedHost(written)


def test_a_repr_hides_a_secret() -> None:
    assert "hush" not in repr([ApiKey("hush-hush")])
    assert ApiKey("hush-hush") == "hush-hush"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("192.168.1.2", "192.168.1.2/32"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("FD00::/8", "fd00::/8"),
        ("::1", "::1/128"),
    ],
)
def test_a_network_is_one_address_or_a_prefix(written: str, read: str) -> None:
    assert Network(written) == read


@pytest.mark.parametrize("written", ["", "proxy.lan", "10.0.0.1/8", "10.0.0.0/33", "fe80::1%eth0/64x", "0x7f.1", 10])
def test_refuses_a_malformed_network(written: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        Network(written)
