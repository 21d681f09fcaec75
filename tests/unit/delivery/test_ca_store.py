import ssl
from pathlib import Path

import pytest

from camiohookd.delivery import trusted_certificates
from camiohookd.errors import ConfigError
from tests.support.certificates import make_certificate


def paths(cafile: Path | None, capath: Path | None) -> ssl.DefaultVerifyPaths:
    files = [str(path) if path else None for path in (cafile, capath)]
    return ssl.DefaultVerifyPaths(*files, "SSL_CERT_FILE", "", "SSL_CERT_DIR", "")  # type: ignore[call-arg,arg-type]  # a named tuple, to typeshed of no fields


def test_system_means_the_systems_file_or_else_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, folder = tmp_path / "all.pem", tmp_path / "certs"
    folder.mkdir()
    (folder / "one.pem").touch()
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths(file, folder))
    assert trusted_certificates("system") == str(folder)
    file.touch()
    assert trusted_certificates("system") == str(file)


def test_falls_back_to_certifi_and_logs_it_if_there_is_no_system_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    empty = tmp_path / "certs"
    empty.mkdir()
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths(tmp_path / "none.pem", empty))
    assert trusted_certificates("system") == trusted_certificates("certifi")
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths(None, tmp_path / "nowhere"))
    assert trusted_certificates("system") == trusted_certificates("certifi")
    assert caplog.text.count("ca-certificates") == 2


def test_accepts_certifi_and_a_file_of_the_owner(tmp_path: Path) -> None:
    assert Path(trusted_certificates("certifi")).stat().st_size > 100_000
    own = str(make_certificate(tmp_path).cert)
    assert trusted_certificates(own) == own


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "No such file"), ("", "no certificate"), ("nonsense", "no certificate")]
)
def test_a_file_without_a_certificate_is_a_configuration_error(
    content: str | None, reason: str, tmp_path: Path
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError, match=f'callback.ca: given "{file}": .*{reason}.*expected "system", "certifi"'):
        trusted_certificates(str(file))
