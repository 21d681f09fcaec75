import pytest
from hypothesis import given
from hypothesis import strategies as st

from camiohookd.errors import MalformedUrl
from camiohookd.net.urls import check_url, host, origin


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://camio.com/cb/1?x=y#z", "https://camio.com:443"),
        ("http://camio.com", "http://camio.com:80"),
        ("HTTPS://Camio.COM.:8443/", "https://camio.com:8443"),
        ("http://127.0.0.1:9000/callback", "http://127.0.0.1:9000"),
        ("http://[0:0::1]:9000/", "http://[::1]:9000"),
        ("https://camio.com:/", "https://camio.com:443"),
        ("https://a_b.example?q", "https://a_b.example:443"),
        ("https://xn--bcher-kva.example/\u00fc", "https://xn--bcher-kva.example:443"),
    ],
)
def test_an_origin_is_normalized(url: str, expected: str) -> None:
    assert origin(url) == expected


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "http://"),
        ("ftp://camio.com/", "http://"),
        ("//camio.com/", "http://"),
        ("camio.com/x", "http://"),
        ("https:///x", "has no host"),
        ("https://./x", "has no host"),
        ("https://user@camio.com/", "user name"),
        ("https://camio.com:pw@evil.example/", "user name"),
        ("https://evil.example\\@camio.com/", "backslash"),
        ("https://camio.com/a b", "space"),
        ("https://camio.com/\r\nX: y", "control character"),
        ("https://camio.com\t/", "control character"),
        ("https://camio.com:0/", "port"),
        ("https://camio.com:65536/", "port"),
        ("https://camio.com:99999999/", "port"),
        ("https://camio.com:80a/", "port"),
        ("https://camio.com:\u0664/", "port"),
        ("https://camio..com/", "host"),
        ("https://-camio.com/", "host"),
        ("https://camio%2ecom/", "host"),
        ("https://b\u00fccher.example/", "xn--"),
        ("https://\uff43amio.com/", "xn--"),
        ("https://" + "a" * 64 + ".com/", "host"),
        ("http://127.0.0.1.:9009/", "IPv4 address with a trailing dot"),
        ("https://0.1./", "IPv4 address with a trailing dot"),
        ("https://camio.com/\ud800", "unpaired surrogate"),
        ("https://[::1/", "host or port"),
        ("https://[::g]/", "IPv6"),
        ("https://[fe80::1%eth0]/", "IPv6"),
        ("https://::1/", "host or port"),
        ("https://camio.com/" + "a" * 2000, "2000"),
    ],
)
def test_a_malformed_url_is_refused_with_its_reason(url: str, reason: str) -> None:
    with pytest.raises(MalformedUrl, match=reason):
        check_url(url)


@given(st.text() | st.text().map(lambda rest: f"https://{rest}"))
def test_any_text_is_an_origin_or_malformed(text: str) -> None:
    try:
        found = check_url(text)
    except MalformedUrl as reason:
        assert str(reason)
    else:
        assert check_url(f"{found}/") == found
        assert host(text) == found.host
