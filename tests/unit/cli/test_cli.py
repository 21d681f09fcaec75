import errno
import os
import pty
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import click
import pytest

from camiohookd import cli
from camiohookd.cli import ExitStatus
from camiohookd.errors import CamiohookdError, ConfigError, ModelError, QueueError
from tests.support.checkout import ROOT

SHIPPED_MODEL = ROOT / "models/ssdlite-mobilenet-v2-coco"
SAMPLE = str(ROOT / "camiohookd/samples/chelsea.jpg")
ENVIRONMENT = {"PATH": os.environ["PATH"], "CAMIOHOOKD_HOOK_API_KEY": "a-key-of-decent-length"}


def camiohookd(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "camiohookd", *arguments]
    return subprocess.run(command, env=ENVIRONMENT | environ, capture_output=True, text=True, check=False)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], int]:
    """Runs a function as a command of the program and gives the exit status."""

    def run(body: Callable[[], object]) -> int:
        monkeypatch.setattr(cli.LazyGroup, "get_command", lambda *_: click.Command("try", callback=body))
        return cli.run(["try"])

    return run


def raising(error: BaseException) -> Callable[[], object]:
    def body() -> object:
        raise error

    return body


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (lambda: None, ExitStatus.FINE),
        (lambda: "ok", ExitStatus.FINE),
        (lambda: ExitStatus.FAILED, ExitStatus.FAILED),
        (lambda: click.get_current_context().exit(1), ExitStatus.FAILED),
        (raising(ConfigError("c")), ExitStatus.CONFIG),
        (raising(ModelError("m")), ExitStatus.CONFIG),
        (raising(QueueError("q")), ExitStatus.FAILED),
        (raising(CamiohookdError("x")), ExitStatus.FAILED),
        (raising(click.UsageError("u")), ExitStatus.USAGE),
        (raising(click.ClickException("e")), ExitStatus.FAILED),
        (raising(KeyboardInterrupt()), ExitStatus.INTERRUPTED),
    ],
)
def test_however_a_command_ends_the_exit_status_says_it(
    command: Callable[[Callable[[], object]], int], body: Callable[[], object], status: ExitStatus
) -> None:
    assert command(body) == status


def test_an_error_of_ours_is_one_line_on_stderr(
    command: Callable[[Callable[[], object]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    command(raising(ConfigError("the file is wrong")))
    assert capsys.readouterr() == ("", "camiohookd: error: the file is wrong\n")


def test_help_names_every_command_and_the_way_to_completion() -> None:
    done = camiohookd("--help")
    assert done.returncode == ExitStatus.FINE
    for name in ("serve", "check", "example-config", "label", "simulate", "key", "hooks", "queue"):
        assert f"\n  {name} " in done.stdout
    assert "_CAMIOHOOKD_COMPLETE=bash_source" in done.stdout


@pytest.mark.parametrize("name", ["serve", "check", "example-config", "label", "simulate", "key", "hooks", "queue"])
def test_every_command_explains_itself(name: str) -> None:
    done = camiohookd(name, "--help")
    assert done.returncode == ExitStatus.FINE
    assert done.stdout.startswith(f"Usage: camiohookd {name} ")


def test_help_loads_nothing_heavy() -> None:
    script = "import sys; from camiohookd import cli; cli.run(['--help']); print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"onnxruntime", "numpy", "PIL", "requests", "tinydb"} & set(done.stdout.split())


def test_completion_comes_from_click() -> None:
    done = camiohookd(_CAMIOHOOKD_COMPLETE="bash_complete", COMP_WORDS="camiohookd exam", COMP_CWORD="1")
    assert done.stdout == "plain,example-config\n"


def test_the_version_is_the_packages() -> None:
    assert camiohookd("--version").stdout == f"camiohookd, version {version('camiohookd')}\n"


@pytest.mark.parametrize("arguments", [["nonsense"], ["check", "--nonsense"], ["check", "nonsense"]])
def test_wrong_usage_ends_with_2(arguments: list[str]) -> None:
    done = camiohookd(*arguments)
    assert (done.returncode, done.stdout) == (ExitStatus.USAGE, "")
    assert "--help" in done.stderr


def test_check_says_ok(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('[log]\nlevel = "debug"\n')
    done = camiohookd("check", "--config", str(path))
    assert (done.returncode, done.stdout, done.stderr) == (ExitStatus.FINE, "ok\n", "")


@pytest.mark.parametrize("name", ["check", "serve"])
@pytest.mark.parametrize(
    "text", ["[log]\nlevel = 'loud'\n", "[hook]\nkey = 1\n", "[hook", '[hook]\napi_keys_file = "/x"']
)
def test_check_and_serve_alike_refuse_a_bad_configuration_with_78(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(text)
    done = camiohookd(name, "--config", str(path))
    assert (done.returncode, done.stdout) == (ExitStatus.CONFIG, "")
    assert done.stderr.startswith("camiohookd: error: ")
    assert done.stderr.count("\n") == 1


@pytest.fixture(params=["missing", "no description", "broken description", "no model file", "wrong checksum", "empty"])
def bad_model(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The setting of a model that cannot be used."""
    model = tmp_path / "model"
    match request.param:
        case "missing":
            return "no-such-model"
        case "empty":
            return ""
    shutil.copytree(SHIPPED_MODEL, model)
    (onnx,) = model.glob("*.onnx")
    match request.param:
        case "no description":
            (model / "model.toml").unlink()
        case "broken description":
            (model / "model.toml").write_text("task = ")
        case "no model file":
            onnx.unlink()
        case "wrong checksum":
            onnx.write_bytes(onnx.read_bytes() + b"x")
    return str(model)


def test_check_and_serve_refuse_an_unusable_model_with_78_and_the_same_words(tmp_path: Path, bad_model: str) -> None:
    environ = {"CAMIOHOOKD_LABELER_MODEL": bad_model, "STATE_DIRECTORY": str(tmp_path / "state")}
    check, serve = (camiohookd(name, "--config", os.devnull, **environ) for name in ("check", "serve"))
    assert (check.returncode, check.stdout) == (serve.returncode, serve.stdout) == (ExitStatus.CONFIG, "")
    assert check.stderr == serve.stderr.splitlines(keepends=True)[-1]
    assert check.stderr.startswith("camiohookd: error: ")


@pytest.mark.parametrize("name", ["check", "serve"])
def test_without_a_key_neither_is_fine(name: str) -> None:
    done = camiohookd(name, "--config", os.devnull, CAMIOHOOKD_HOOK_API_KEY="")
    assert done.returncode == ExitStatus.CONFIG
    assert "openssl rand -hex 24" in done.stderr


def test_a_reader_that_goes_away_gets_no_complaint() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "camiohookd", "example-config"]
    done = subprocess.run(command, env=ENVIRONMENT, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (ExitStatus.FAILED, "")


@pytest.mark.parametrize("arguments", [["check"], ["example-config"], ["--help"], ["label", SAMPLE]])
def test_output_that_cannot_be_written_is_one_clear_line(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "camiohookd", *arguments]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, env=ENVIRONMENT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == ExitStatus.FAILED
    assert done.stderr == "camiohookd: error: cannot write to standard output: No space left on device\n"


def test_an_error_of_the_system_that_nobody_expected_is_not_taken_for_one_of_the_output(
    command: Callable[[Callable[[], object]], int],
) -> None:
    with pytest.raises(ConnectionRefusedError):
        command(raising(ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")))
    with pytest.raises(OSError, match="/somewhere"):
        command(raising(OSError(errno.ENOSPC, "No space left on device", "/somewhere")))


def test_a_command_whose_output_was_closed_from_the_start_does_its_work() -> None:
    script = f"exec {sys.executable} -m camiohookd check --config /dev/null >&-"
    done = subprocess.run(["sh", "-c", script], env=ENVIRONMENT, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (ExitStatus.FINE, "")


def test_under_systemd_an_error_has_the_priority_that_journalctl_filters_by() -> None:
    done = camiohookd("check", "--config", "/nowhere", JOURNAL_STREAM="8:1234")
    assert done.stderr == "<3>camiohookd: error: /nowhere: there is no such file\n"


def test_on_a_terminal_an_error_has_no_priority() -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "camiohookd", "check", "--config", "/nowhere"]
    subprocess.run(command, env=ENVIRONMENT | {"JOURNAL_STREAM": "8:1234"}, stderr=theirs, check=False)
    os.close(theirs)
    assert os.read(ours, 1000).startswith(b"camiohookd: error: ")
    os.close(ours)


def test_ctrl_c_ends_a_command_with_130_and_without_a_traceback(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    command = [sys.executable, "-m", "camiohookd", "check", "--config", str(fifo)]
    process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    # RunnerOpener returns when the command has opened its end: from then on it waits for a configuration.
    with fifo.open("w"):
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=30)
    assert process.returncode == ExitStatus.INTERRUPTED
    assert "Traceback" not in complaint
