"""The files that build, pin and run a checkout: build.sh, the lock files, the unit."""

import os
import re
import shutil
import subprocess
import sys
from configparser import RawConfigParser
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from camiohookd.cli import ExitStatus
from tests.support.checkout import ROOT

UNIT = ROOT / "systemd/camiohookd.service"
LOCKS = ("requirements.lock", "tests/requirements.lock", "tests/bench/requirements.lock")
# Imitates Debian's python3 without the package python3-venv, and one that is too old.
WITHOUT_VENV = '#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\n'
TOO_OLD = "#!/bin/sh\nexit 1\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Copy the files that build.sh reads before it makes an environment."""
    for name in ("build.sh", "pyproject.toml", "debian/changelog", *LOCKS):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tmp_path / name)
    return tmp_path


def build(checkout: Path, *arguments: str, python: str = "") -> subprocess.CompletedProcess[str]:
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(checkout)}
    if python:
        interpreter = checkout / "python"
        interpreter.write_text(python)
        interpreter.chmod(0o755)
        environ["PYTHON"] = str(interpreter)
    command = [str(checkout / "build.sh"), *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["venv", "nonsense"], ["demo", "--long"], ["main"], ["deb", "--arch"], ["--arch", "riscv64"]],
)
def test_a_usage_error_prints_the_usage(checkout: Path, arguments: list[str]) -> None:
    done = build(checkout, *arguments)
    assert (done.returncode, done.stdout) == (ExitStatus.USAGE, "")
    assert "./build.sh test [--long]" in done.stderr


def test_help_exits_with_0(checkout: Path) -> None:
    done = build(checkout, "--help")
    assert (done.returncode, done.stderr) == (ExitStatus.FINE, "")
    assert done.stdout.startswith("Usage: ./build.sh [deb] [--arch amd64|arm64] [--install-deps]")


def test_the_demonstration_runs_with_ten_lines_of_owner_code() -> None:
    script = ROOT / "camiohookd/examples/labeler.py"
    # Does not call build.sh, which may rebuild the environment that this test runs in.
    command = [ROOT / "tests/demonstration", Path(sys.executable).parent, script]
    with TemporaryDirectory() as folder:  # tmp_path is too long for the path of a socket
        done = subprocess.run(command, env=os.environ | {"TMPDIR": folder}, capture_output=True, text=True)
    assert done.returncode == ExitStatus.FINE, done.stderr
    assert "1 of 1 events came back valid" in done.stdout
    assert re.search(r"coffee\.jpg +(day|night) +1\.00", done.stdout)


@pytest.mark.parametrize(
    ("python", "advice"),
    [(WITHOUT_VENV, "sudo apt install python3-venv"), (TOO_OLD, "sudo apt install python3 python3-venv")],
)
def test_names_the_package_to_install_if_python_is_unusable(checkout: Path, python: str, advice: str) -> None:
    done = build(checkout, "venv", python=python)
    assert done.returncode == ExitStatus.FAILED
    assert done.stderr.strip().endswith(advice)
    assert not (checkout / ".venv").exists()


def test_the_demonstration_names_a_file_that_it_cannot_read(checkout: Path) -> None:
    done = build(checkout, "demo", "missing.py")
    assert (done.returncode, done.stderr) == (
        ExitStatus.FAILED,
        "build.sh: cannot read missing.py; expected a file that defines compute_labels\n",
    )


def test_every_shell_script_passes_shellcheck() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("NOT TESTED: shell scripts, because shellcheck is not installed (apt install shellcheck)")
    top = [path for path in ROOT.iterdir() if path.name in {"build.sh", ".ci", "debian", "tests"}]
    files = [path for each in top for path in (each.rglob("*") if each.is_dir() else [each]) if path.is_file()]
    made = ROOT / "debian/camiohookd"  # by a build of the package, with debhelper's own lines
    files = [path for path in files if made not in path.parents]
    scripts = [path for path in files if re.match(rb"#!/(usr/)?bin/(env )?(ba)?sh\b", path.read_bytes()[:100])]
    assert {"build.sh", "run", "build", "demonstration", "camiohookd.postinst"} <= {path.name for path in scripts}
    done = subprocess.run(["shellcheck", *scripts], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_pre_commit_hooks_run_existing_programs() -> None:
    """Programs of .venv must exist; shellcheck may be missing."""
    config = import_module("yaml").safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    (repository,) = config["repos"]
    assert repository["repo"] == "local"
    entries = {hook["id"]: hook["entry"] for hook in repository["hooks"]}
    assert all(hook["language"] == "system" for hook in repository["hooks"]), "nothing is fetched"
    assert set(entries) == {"ruff", "ruff-format", "mypy", "lint-imports", "shellcheck"}
    programs = [entry.split()[0] for entry in entries.values() if entry.startswith(".venv/")]
    assert programs == [f".venv/bin/{name}" for name in ("ruff", "ruff", "mypy", "lint-imports")]
    for program in programs:
        assert (Path(sys.executable).parent / Path(program).name).exists()


def pins(lock: str) -> dict[str, str]:
    """Return name and marker → version and hashes."""
    entries = re.split(r"\n(?=\S)", (ROOT / lock).read_text().strip())
    parts = [re.fullmatch(r"([\w.-]+)==(\S+)( ; .*?)?( \\\n.*)?", entry, flags=re.DOTALL) for entry in entries]
    assert all(parts)
    return {f"{part[1]}{part[3] or ''}": f"{part[2]}{part[4] or ''}" for part in parts if part}


@pytest.mark.parametrize("lock", LOCKS)
def test_everything_is_pinned_with_hashes(lock: str) -> None:
    assert all("--hash=sha256:" in entry for entry in pins(lock).values())


@pytest.mark.parametrize("lock", LOCKS[1:])
def test_tests_and_benchmarks_use_the_shipped_versions(lock: str) -> None:
    shipped, tested = pins(LOCKS[0]), pins(lock)
    # The tests may need a package on every Python that is shipped for some Pythons only.
    assert {name: tested.get(name) or tested.get(name.partition(" ;")[0]) for name in shipped} == shipped


def test_no_lock_file_names_a_package_index() -> None:
    locks = [ROOT / lock for lock in LOCKS] + list((ROOT / "tests/accelerators").glob("*.lock"))
    assert len(locks) > len(LOCKS)
    for lock in locks:
        assert "://" not in lock.read_text()


def test_every_exception_to_a_check_has_a_reason_beside_it() -> None:
    """Check ``noqa: CODE  # reason``, ``type: ignore[code]  # reason``, and ``"CODE",  # reason`` in pyproject.toml."""
    files = [path for folder in ("camiohookd", "debian", "models", "tests") for path in (ROOT / folder).rglob("*.py")]
    lines = [line for path in files for line in path.read_text().splitlines()]
    found = [line for line in lines if re.search(r"#\s*(noqa|type: ignore)", line)]
    assert found
    assert [
        line for line in found if not re.search(r"# (noqa: [A-Z0-9, ]+|type: ignore\[[a-z, -]+\]) +# \w", line)
    ] == []
    settings = (ROOT / "pyproject.toml").read_text()
    ignored = re.findall(r'^  "[A-Z]+[0-9]*",.*$', settings, re.MULTILINE)
    assert ignored
    assert [line for line in ignored if " # " not in line] == []


def unit() -> RawConfigParser:
    parser = RawConfigParser(strict=False)  # a unit may repeat a setting
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # configparser's documented way to keep the case
    parser.read(UNIT)
    return parser


def test_the_unit_does_not_restart_after_a_wrong_configuration() -> None:
    assert int(unit()["Service"]["RestartPreventExitStatus"]) == ExitStatus.CONFIG


def test_the_unit_runs_serve_and_waits_for_its_ready_message() -> None:
    service = unit()["Service"]
    assert (service["Type"], service["ExecStart"]) == ("notify", "/usr/bin/camiohookd serve")
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert service["StateDirectory"] == service["RuntimeDirectory"] == "camiohookd"
    assert "Environment=ORT_DISABLE_TELEMETRY=1\n" in UNIT.read_text()


def test_the_unit_restarts_without_limit() -> None:
    assert unit()["Unit"]["StartLimitIntervalSec"] == "0"
    assert unit()["Service"]["Restart"] == "on-failure"
