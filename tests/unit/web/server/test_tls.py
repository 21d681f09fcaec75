"""The listener's certificate: accepted and refused files, error texts, and expiry."""

import logging
import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camiohookd.errors import ConfigError
from camiohookd.web.server import tls
from tests.support.certificates import Pair, make_certificate
from tests.support.users import open_folder, ordinary_user


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return make_certificate(tmp_path)


def openssls_end_of(cert: Path) -> datetime:
    command = ["openssl", "x509", "-noout", "-enddate", "-in", str(cert)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    return datetime.strptime(text, "notAfter=%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC)


def load(cert: Path, key: Path | str = "") -> tls.Certificate:
    loaded = tls.load(str(cert), str(key))
    assert loaded is not None
    return loaded


def test_serves_plain_http_without_a_certificate() -> None:
    assert tls.load("", "") is None


@pytest.mark.parametrize("days", [1, 365, 365 * 40])  # from 2050 on, certificates use another date format
def test_reads_the_same_expiry_as_openssl(tmp_path: Path, days: int) -> None:
    pair = make_certificate(tmp_path, days=days)
    assert load(*pair).expires == openssls_end_of(pair.cert)


def test_reads_the_expiry_of_the_first_certificate_in_a_chain(tmp_path: Path, pair: Pair) -> None:
    issuer = make_certificate(tmp_path, "issuer", days=3000)
    chain = tmp_path / "chain.pem"
    chain.write_text("The box's own, then its issuer's.\n" + pair.cert.read_text() + issuer.cert.read_text())
    assert load(chain, pair.key).expires == openssls_end_of(pair.cert)


def test_the_key_may_be_in_the_certificates_file(tmp_path: Path, pair: Pair) -> None:
    both = tmp_path / "both.pem"
    both.write_text(pair.key.read_text() + pair.cert.read_text())
    assert load(both).expires == openssls_end_of(pair.cert)


def test_allows_only_current_tls_versions_and_ciphers(pair: Pair) -> None:
    context = load(*pair).context
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    names = [cipher["name"] for cipher in context.get_ciphers()]
    assert names
    assert all(name.startswith(("TLS_", "ECDHE-")) and ("GCM" in name or "CHACHA20" in name) for name in names)


def refusal(cert: Path | str, key: Path | str = "") -> str:
    with pytest.raises(ConfigError) as refused:
        tls.load(str(cert), str(key))
    assert "PRIVATE" not in str(refused.value)
    return str(refused.value)


def test_refuses_a_key_without_a_certificate(pair: Pair) -> None:
    assert "hook.tls_key is set but hook.tls_cert is not" in refusal("", pair.key)


def test_names_a_missing_file_with_its_setting(tmp_path: Path, pair: Pair) -> None:
    missing = tmp_path / "missing"
    assert refusal(missing) == f"hook.tls_cert: {missing}: cannot be read: No such file or directory"
    assert refusal(pair.cert, missing) == f"hook.tls_key: {missing}: cannot be read: No such file or directory"


def test_names_the_user_that_must_be_able_to_read_the_key() -> None:
    with open_folder() as folder:
        pair = make_certificate(folder)
        pair.key.chmod(0)
        with ordinary_user():
            assert (
                refusal(*pair)
                == f"hook.tls_key: {pair.key}: cannot be read: Permission denied; run this command with sudo"
            )


def test_refuses_the_key_of_another_certificate(tmp_path: Path, pair: Pair) -> None:
    other = make_certificate(tmp_path, "other")
    reason = f"hook.tls_key: {other.key}: the key does not belong to the certificate in {pair.cert}"
    assert refusal(pair.cert, other.key) == reason


def test_refuses_a_key_with_a_password_without_asking_for_it(tmp_path: Path, pair: Pair) -> None:
    locked = tmp_path / "locked.key"
    command = ["openssl", "pkey", "-aes256", "-passout", "pass:secret", "-in", str(pair.key), "-out", str(locked)]
    subprocess.run(command, check=True, capture_output=True)
    assert "the key has a password" in refusal(pair.cert, locked)


@pytest.mark.parametrize("text", ["", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_refuses_a_file_that_is_not_a_certificate(tmp_path: Path, pair: Pair, text: str) -> None:
    (tmp_path / "bad.pem").write_text(text)
    assert f"hook.tls_cert: {tmp_path}/bad.pem: cannot read a certificate" in refusal(tmp_path / "bad.pem", pair.key)
    assert refusal(tmp_path / "bad.pem").startswith(f"hook.tls_cert: {tmp_path}/bad.pem: ")


@given(st.binary(max_size=100))
def test_expiry_of_malformed_der_is_an_error(der: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        tls.expiry(der)


@pytest.mark.parametrize(
    ("left", "level", "words"),
    [
        (timedelta(days=31), None, ""),
        (timedelta(days=29, hours=1), logging.WARNING, "expires in 29 days, on "),
        (timedelta(hours=1), logging.WARNING, "expires in 0 days, on "),
        (-timedelta(seconds=1), logging.ERROR, "expired on "),
    ],
)
def test_warns_of_a_certificate_that_expires_within_a_month(
    pair: Pair, caplog: pytest.LogCaptureFixture, left: timedelta, level: int | None, words: str
) -> None:
    certificate = load(*pair)
    tls.warn_of_expiry(certificate, certificate.expires - left)
    assert [record.levelno for record in caplog.records] == ([] if level is None else [level])
    assert words in caplog.text
    assert level is None or str(pair.cert) in caplog.text
