"""The listener's certificate is judged in memory, without a connection."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from camiohookd.cli.doctor.certificate import check_certificate, days_left, why_not_trusted
from camiohookd.cli.doctor.findings import Finding
from camiohookd.web.server.tls import Certificate, load
from tests.support.certificates import make_certificate

NOW = datetime(2026, 11, 28, tzinfo=UTC)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Certificate, str]]:
    """Certificates for two hosts, each with the path of the file that a client must trust for it."""
    folder = tmp_path_factory.mktemp("certificates")
    found = {}
    for host in ("hook.example.org", "other.example.org"):
        pair = make_certificate(folder, host, of=f"DNS:{host}")
        certificate = load(str(pair.cert), str(pair.key))
        assert certificate is not None
        found[host] = certificate, str(pair.cert)
    return found


def examine(
    certificate: Certificate | None, url: str, authorities: str, *, is_behind_another: bool = False
) -> list[Finding]:
    return list(
        check_certificate(certificate, url, authorities, datetime.now(UTC), is_behind_another=is_behind_another)
    )


def test_without_tls_there_is_nothing_to_check() -> None:
    assert examine(None, "https://hook.example.org", "") == []


def test_a_certificate_of_the_right_name_that_is_trusted_is_ok(files: dict[str, tuple[Certificate, str]]) -> None:
    certificate, authorities = files["hook.example.org"]
    days, chain = examine(certificate, "https://hook.example.org:8443", authorities)
    assert (days.outcome, chain.outcome) == ("ok", "ok")
    assert "89 days" in days.text
    assert "trusted for hook.example.org" in chain.text


def test_another_name_fails(files: dict[str, tuple[Certificate, str]]) -> None:
    certificate, authorities = files["other.example.org"]
    _, chain = examine(certificate, "https://hook.example.org", authorities)
    assert chain.outcome == "failed"
    assert "Hostname mismatch" in chain.text


def test_without_a_public_url_only_the_chain_counts(files: dict[str, tuple[Certificate, str]]) -> None:
    certificate, authorities = files["other.example.org"]
    assert [each.outcome for each in examine(certificate, "", authorities)] == ["ok", "ok"]


def test_an_unknown_authority_fails(files: dict[str, tuple[Certificate, str]]) -> None:
    certificate, _ = files["hook.example.org"]
    _, chain = examine(certificate, "https://hook.example.org", files["other.example.org"][1])
    assert (chain.outcome, "self-signed" in chain.text) == ("failed", True)
    assert "fullchain.pem" in chain.advice


def test_behind_a_proxy_a_private_certificate_is_enough(files: dict[str, tuple[Certificate, str]]) -> None:
    certificate, _ = files["hook.example.org"]
    authorities = files["other.example.org"][1]
    _, chain = examine(certificate, "https://hook.example.org", authorities, is_behind_another=True)
    assert chain.outcome == "ok"


@pytest.mark.parametrize(("days", "outcome"), [(-1, "failed"), (0, "failed"), (13, "warning"), (15, "ok")])
def test_the_days_left_count(days: int, outcome: str) -> None:
    finding = days_left("the certificate", NOW + timedelta(days=days), NOW)
    assert finding.outcome == outcome
    assert (finding.advice == "") == (outcome == "ok")


def test_a_folder_of_authorities_is_used_too(files: dict[str, tuple[Certificate, str]], tmp_path: Path) -> None:
    certificate, _ = files["hook.example.org"]
    assert why_not_trusted(certificate.context, None, str(tmp_path)) is not None
