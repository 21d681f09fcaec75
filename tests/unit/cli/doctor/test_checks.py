"""Checks that need no daemon: files, keys, disk, clock, callback hosts."""

import os
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from importlib.metadata import version
from pathlib import Path

import pytest

from camiohookd.cli.doctor import clock, disk, files, model, reach, release
from camiohookd.cli.doctor.findings import Finding
from camiohookd.config.quantities import OptionalByteSize
from camiohookd.config.settings import LabelerSettings, QueueSettings
from camiohookd.config.values import AllowedHost
from camiohookd.daemon import setup
from tests.support.certificates import make_certificate
from tests.support.daemon_process import free_port
from tests.support.scripted_server import Peer, answering
from tests.support.users import open_folder

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
STRONG = "8d0f6b2a4c1e9375a0b2c4d6e8f01325"


def outcomes(findings: list[Finding]) -> list[str]:
    return [each.outcome for each in findings]


# Files and keys


def settings_in(folder: Path, text: str = "", mode: int = 0o640) -> tuple[setup.Setup, Path]:
    file = folder / "camiohookd.toml"
    file.write_text(f"[hook]\napi_key = '{STRONG}'\n{text}")
    file.chmod(mode)
    return setup.read(file, {}), file


def test_files_that_only_the_service_can_read_are_ok() -> None:
    with open_folder() as folder:
        assert outcomes(list(files.check_files(*settings_in(folder)))) == ["ok"]


@pytest.mark.parametrize(("mode", "does"), [(0o644, "read"), (0o642, "change"), (0o666, "read and change")])
def test_a_file_with_a_key_that_all_users_can_use_fails(mode: int, does: str) -> None:
    with open_folder() as folder:
        [finding] = files.check_files(*settings_in(folder, mode=mode))
        assert finding.outcome == "failed"
        assert f"every user of this machine can {does} it" in finding.text
        assert finding.advice == f"sudo chmod o-rwx {folder}/camiohookd.toml"


def test_settings_without_the_key_may_be_read_but_not_changed() -> None:
    with open_folder() as folder:
        file = folder / "camiohookd.toml"
        file.write_text("[log]\nlevel = 'info'\n")
        file.chmod(0o644)
        found = setup.read(file, {"CAMIOHOOKD_HOOK_API_KEY": STRONG})
        assert outcomes(list(files.check_files(found, file))) == ["ok"]
        file.chmod(0o666)
        [finding] = files.check_files(found, file)
        assert (finding.outcome, finding.advice) == ("failed", f"sudo chmod o-w {file}")


def test_a_folder_that_nobody_else_may_enter_protects_the_files() -> None:
    with open_folder() as folder:
        private = folder / "private"
        private.mkdir(mode=0o700)
        assert outcomes(list(files.check_files(*settings_in(private, mode=0o644)))) == ["ok"]


def test_the_file_of_keys_and_the_tls_key_are_checked_too(tmp_path: Path) -> None:
    with open_folder() as folder:
        pair = make_certificate(folder)
        pair.key.chmod(0o644)
        (folder / "api-keys").write_text(f"more {STRONG[::-1]}\n")
        found, file = settings_in(folder, f"tls_cert = '{pair.cert}'\ntls_key = '{pair.key}'\n")
        failed = [each.name for each in files.check_files(found, file) if each.outcome == "failed"]
    assert failed == ["api-keys", "box.key"]


def test_a_key_that_could_be_guessed_fails_and_is_not_shown() -> None:
    found = list(files.check_keys({"default": STRONG, "old": "secret-secret"}))
    assert outcomes(found) == ["ok", "failed"]
    assert "secret-secret" not in str(found)
    assert "camiohookd key new" in found[1].advice


def test_rules_without_effect_are_warnings(tmp_path: Path) -> None:
    found, file = settings_in(tmp_path, "[[rule]]\ncamera = 'front'\nlabels = ['nonsense']\n")
    ok, rules = files.check_settings(found, file)
    assert (ok.outcome, rules.outcome, "nonsense" in rules.text) == ("ok", "warning", True)


# Disk


def disk_findings(folder: Path, **settings: int) -> dict[str, Finding]:
    least = OptionalByteSize(settings.get("least", 0))
    found = disk.check_disk(folder, QueueSettings(min_free_bytes=least), None)
    return {each.name: each for each in found}


def test_a_usable_state_folder_is_ok(tmp_path: Path) -> None:
    found = disk_findings(tmp_path)
    assert (found["state folder"].outcome, found["free space"].outcome) == ("ok", "ok")


def test_a_state_folder_that_does_not_exist_is_created_by_the_first_start(tmp_path: Path) -> None:
    found = disk_findings(tmp_path / "not" / "yet")
    assert "the first start creates it" in found["state folder"].text
    assert found["free space"].outcome == "ok"


def test_a_short_disk_fails_or_warns(tmp_path: Path) -> None:
    facts = os.statvfs(tmp_path)
    free = facts.f_bavail * facts.f_frsize
    assert disk_findings(tmp_path, least=2 * free)["free space"].outcome == "failed"
    assert disk_findings(tmp_path, least=free // 2)["free space"].outcome == "warning"


def test_a_state_folder_that_all_users_can_read_fails() -> None:
    with open_folder() as folder:
        found = disk_findings(folder)["state folder"]
        assert (found.outcome, found.advice) == ("failed", f"sudo chmod o-rwx {folder}")


@pytest.mark.parametrize(("text", "used"), [("0x01 0x02\n", 10), ("0x0a 0x0b\n", 100), ("0x00 0x00\n", None)])
def test_reads_the_used_life_of_a_card_from_the_kernels_file(tmp_path: Path, text: str, used: int | None) -> None:
    (tmp_path / "device").mkdir()
    (tmp_path / "device" / "life_time").write_text(text)
    (tmp_path / "partition").mkdir()
    assert disk.life_used(tmp_path) == used
    assert disk.life_used(tmp_path / "partition") == used


# Clock


@pytest.mark.parametrize(
    ("now", "camio", "outcome"),
    [
        (NOW, NOW + timedelta(seconds=5), "ok"),
        (NOW, NOW + timedelta(minutes=5), "failed"),
        (NOW, NOW - timedelta(minutes=5), "failed"),
        (datetime(1970, 1, 2, tzinfo=UTC), NOW, "failed"),
        (datetime(1970, 1, 2, tzinfo=UTC), None, "failed"),
        (NOW, None, "not checked"),
    ],
)
def test_the_clock_is_compared_with_camios(now: datetime, camio: datetime | None, outcome: str) -> None:
    header = format_datetime(camio, usegmt=True) if camio else None
    finding = clock.check_clock(now, header)
    assert finding.outcome == outcome
    assert (outcome == "failed") == ("timedatectl" in finding.advice)


def test_an_invalid_date_header_is_ignored() -> None:
    assert clock.check_clock(NOW, "yesterday").outcome == "not checked"


# Callback hosts, and Camio


@pytest.fixture
def tls_peer(tmp_path: Path) -> tuple[Peer, str]:
    pair = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    return Peer(answering(404), context), str(pair.cert)


def callback(host: str, certificates: str) -> Finding:
    [finding] = reach.check_callbacks([AllowedHost(host)], certificates)
    return finding


def test_a_callback_host_with_a_trusted_certificate_is_ok(tls_peer: tuple[Peer, str]) -> None:
    peer, certificates = tls_peer
    assert callback(f"https://127.0.0.1:{peer.port}", certificates).outcome == "ok"
    assert peer.requests == []


def test_a_certificate_that_is_not_trusted_fails(tls_peer: tuple[Peer, str], tmp_path: Path) -> None:
    peer, _ = tls_peer
    other = make_certificate(tmp_path, "other")
    finding = callback(f"https://127.0.0.1:{peer.port}", str(other.cert))
    assert (finding.outcome, "certificate is not trusted" in finding.text) == ("failed", True)


@pytest.mark.parametrize(
    ("host", "says"),
    [
        (lambda: f"http://127.0.0.1:{free_port()}", "Connection refused"),
        (lambda: "nothing.invalid", "its name cannot be resolved"),
    ],
)
def test_a_host_that_cannot_be_reached_fails(host: Callable[[], str], says: str) -> None:
    finding = callback(host(), "/etc/ssl/certs")
    assert (finding.outcome, says in finding.text) == ("failed", True), finding


def test_a_pattern_is_not_tried_as_a_host() -> None:
    assert callback("*.camio.com", "/etc/ssl/certs").outcome == "not checked"


def test_any_answer_of_camios_api_is_ok_and_has_its_time() -> None:
    peer = Peer(answering(401, "Date: Sat, 28 Nov 2026 12:00:00 GMT"))
    finding, date = reach.check_api(f"http://127.0.0.1:{peer.port}")
    peer.close()
    assert (finding.outcome, date) == ("ok", "Sat, 28 Nov 2026 12:00:00 GMT")
    assert b"Authorization" not in peer.requests[0]


def test_an_api_that_does_not_answer_fails() -> None:
    finding, date = reach.check_api(f"http://127.0.0.1:{free_port()}")
    assert (finding.outcome, date) == ("failed", None)
    assert "Connection refused" in finding.text


# The labeler


def test_the_shipped_model_finds_what_the_photographs_show() -> None:
    found = list(model.check_labeler(LabelerSettings(device="cpu")))
    assert outcomes(found) == ["ok", "ok", "ok"]
    assert "found cat, cup" in found[-1].text


def test_a_model_that_does_not_exist_fails() -> None:
    [finding] = model.check_labeler(LabelerSettings(model="nothing"))
    assert (finding.outcome, "model 'nothing' is not in" in finding.text) == ("failed", True)


def test_a_device_that_does_not_work_fails() -> None:
    found = {each.name: each for each in model.check_labeler(LabelerSettings(device="NothingExecutionProvider"))}
    assert found["device"].outcome == "failed"
    assert "camiohookd devices" in found["device"].advice


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("def compute_labels(images):\n    return []\n", "ok"),
        ("def compute_labels(images):\n    raise ValueError('broken')\n", "failed"),
    ],
)
def test_own_code_labels_the_photographs(tmp_path: Path, code: str, outcome: str) -> None:
    script = tmp_path / "labeler.py"
    script.write_text(code)
    found = list(model.check_labeler(LabelerSettings(kind="python", script=str(script))))
    assert found[-1].outcome == outcome, found


def test_of_several_labelers_one_that_is_not_required_gives_a_warning(tmp_path: Path) -> None:
    script = tmp_path / "labeler.py"
    script.write_text("def compute_labels(images):\n    assert images[0]['detections'] == []\n")
    works = LabelerSettings(kind="python", script=str(script), name="works", required=False)
    broken = LabelerSettings(model="nothing", name="broken", required=False)
    found = list(model.check_labelers([LabelerSettings(device="cpu", required=True), works, broken]))
    assert outcomes(found) == ["ok", "ok", "ok", "ok", "ok", "warning"]
    assert [each.name for each in found[3:]] == ["own code (works)", "golden pictures (works)", "model (broken)"]


# Version


def changelog(folder: Path, entry: str) -> tuple[Path]:
    file = folder / "changelog"
    file.write_text(entry)
    return (file,)


@pytest.mark.parametrize(
    ("days", "outcome"), [(0, "ok"), (170, "ok"), (200, "warning"), (20_000, "warning"), (-50, "not checked")]
)
def test_a_version_of_half_a_year_ago_is_a_warning(tmp_path: Path, days: int, outcome: str) -> None:
    date = format_datetime(NOW - timedelta(days=days))
    entry = f"camiohookd ({version('camiohookd')}) unstable; urgency=medium\n\n  * A line.\n\n -- who <a@b>  {date}\n"
    found = release.check_version(NOW, changelog(tmp_path, entry))
    assert found.outcome == outcome
    assert version("camiohookd") in found.text
    assert days < 0 or f"{days:,} days old" in found.text


@pytest.mark.parametrize(
    "entry", ["", "camiohookd (0.0.1) unstable\n\n -- who  Sat, 28 Nov 2026 06:40:00 +0000\n", "x\0"]
)
def test_without_the_date_of_the_version_its_age_is_not_checked(tmp_path: Path, entry: str) -> None:
    assert release.check_version(NOW, changelog(tmp_path, entry)).outcome == "not checked"
    assert release.check_version(NOW, (tmp_path / "missing",)).outcome == "not checked"


def test_this_checkout_has_the_date_of_its_version() -> None:
    assert release.check_version(NOW).outcome == "ok"
