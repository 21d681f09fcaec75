import errno
import os
import pty
import re
import shutil
import signal
import socket
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
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "CAMIOHOOKD_HOOK_API_KEY": "a-key-of-decent-length",
    "CAMIOHOOKD_HOOK_LISTEN": "127.0.0.1:0",  # on all addresses it warns of plain http
    "CAMIOHOOKD_ADMIN_LISTEN": "127.0.0.1:0",
}


def camiohookd(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "camiohookd", *arguments]
    return subprocess.run(command, env=ENVIRONMENT | environ, capture_output=True, text=True, check=False)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], int]:
    """Run a function as a command of the program; return the exit status."""

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
def test_the_exit_status_says_how_a_command_ended(
    command: Callable[[Callable[[], object]], int], body: Callable[[], object], status: ExitStatus
) -> None:
    assert command(body) == status


def test_a_known_error_is_one_line_on_stderr(
    command: Callable[[Callable[[], object]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    command(raising(ConfigError("the file is wrong")))
    assert capsys.readouterr() == ("", "camiohookd: error: the file is wrong\n")


def test_help_names_every_command_and_how_to_get_completion() -> None:
    done = camiohookd("--help")
    assert done.returncode == ExitStatus.FINE
    for name in ("serve", "check", "example-config", "label", "simulate", "key", "hooks", "queue"):
        assert f"\n  {name} " in done.stdout
    assert "_CAMIOHOOKD_COMPLETE=bash_source" in done.stdout


def test_every_command_has_an_example() -> None:
    def without(command: click.Command, name: str) -> list[str]:
        if not isinstance(command, click.Group):
            return [] if re.search(r"^ *Examples?:", command.help or "", re.MULTILINE) else [name]
        context = click.Context(command)
        found = [(each, command.get_command(context, each)) for each in command.list_commands(context)]
        return [one for each, inner in found if inner for one in without(inner, f"{name} {each}")]

    assert without(cli.root, "camiohookd") == []


@pytest.mark.parametrize("name", ["serve", "check", "example-config", "label", "simulate", "key", "hooks", "queue"])
def test_every_command_has_help(name: str) -> None:
    done = camiohookd(name, "--help")
    assert done.returncode == ExitStatus.FINE
    assert done.stdout.startswith(f"Usage: camiohookd {name} ")


def test_help_loads_nothing_heavy() -> None:
    script = "import sys; from camiohookd import cli; cli.run(['--help']); print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"onnxruntime", "numpy", "PIL", "requests", "tinydb"} & set(done.stdout.split())


def test_queue_loads_neither_the_listeners_nor_the_metrics(tmp_path: Path) -> None:
    script = "import sys; from camiohookd import cli; cli.run(['queue', 'list']); print(*sys.modules, sep='\\n')"
    environ = {**os.environ, "STATE_DIRECTORY": str(tmp_path), "RUNTIME_DIRECTORY": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environ)
    assert "camiohookd.queue.task_queue" in done.stdout.split()
    assert not {"tornado", "prometheus_client", "asyncio", "requests", "PIL", "numpy"} & set(done.stdout.split())


def test_completion_comes_from_click() -> None:
    done = camiohookd(_CAMIOHOOKD_COMPLETE="bash_complete", COMP_WORDS="camiohookd exam", COMP_CWORD="1")
    assert done.stdout == "plain,example-config\n"


def test_prints_the_version_of_the_package() -> None:
    assert camiohookd("--version").stdout == f"camiohookd, version {version('camiohookd')}\n"


@pytest.mark.parametrize("arguments", [["nonsense"], ["check", "--nonsense"], ["check", "nonsense"]])
def test_a_usage_error_exits_with_2(arguments: list[str]) -> None:
    done = camiohookd(*arguments)
    assert (done.returncode, done.stdout) == (ExitStatus.USAGE, "")
    assert "--help" in done.stderr


def test_check_prints_ok(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('[log]\nlevel = "debug"\n')
    done = camiohookd("check", "--config", str(path))
    assert (done.returncode, done.stdout, done.stderr) == (ExitStatus.FINE, "ok\n", "")


@pytest.mark.parametrize("name", ["check", "serve"])
@pytest.mark.parametrize(
    "text", ["[log]\nlevel = 'loud'\n", "[hook]\nkey = 1\n", "[hook", '[hook]\napi_keys_file = "/x"']
)
def test_check_and_serve_exit_with_78_for_a_bad_configuration(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(text)
    done = camiohookd(name, "--config", str(path))
    assert (done.returncode, done.stdout) == (ExitStatus.CONFIG, "")
    assert done.stderr.startswith("camiohookd: error: ")
    assert done.stderr.count("\n") in (1, 3)  # one sentence, and for a TOML mistake its line with a caret


def test_check_loads_the_model_and_a_reload_does_not(tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(SHIPPED_MODEL, model)
    description = (model / "model.toml").read_text()
    (model / "model.toml").write_text(description.replace("width = 300", "width = 301"))
    assert description != (model / "model.toml").read_text()
    done = camiohookd("check", "--config", os.devnull, CAMIOHOOKD_LABELER_MODEL=str(model))
    assert done.returncode == ExitStatus.CONFIG
    assert "the model's input" in done.stderr
    done = camiohookd("check", "--reload", "--config", os.devnull, CAMIOHOOKD_LABELER_MODEL=str(model))
    assert (done.returncode, done.stdout, done.stderr) == (ExitStatus.FINE, "ok\n", "")


def test_check_accepts_the_port_of_the_running_daemon(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as daemon:
        address = "127.0.0.1:{1}".format(*daemon.getsockname())
        done = camiohookd("check", "--config", os.devnull, CAMIOHOOKD_HOOK_LISTEN=address)
    assert (done.returncode, done.stdout) == (ExitStatus.FINE, "ok\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: only root can open a port as another user")
def test_check_refuses_a_port_that_another_user_listens_on(tmp_path: Path) -> None:
    os.seteuid(65534)
    try:
        other = socket.create_server(("127.0.0.1", 0))
    finally:
        os.seteuid(0)
    with other:
        address = "127.0.0.1:{1}".format(*other.getsockname())
        done = camiohookd("check", "--config", os.devnull, CAMIOHOOKD_HOOK_LISTEN=address)
    assert (done.returncode, done.stdout) == (ExitStatus.FAILED, "")
    assert f"cannot listen on {address} (hook.listen): Address already in use. Another program" in done.stderr


@pytest.fixture(params=["missing", "no description", "broken description", "no model file", "wrong checksum", "empty"])
def bad_model(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Set a model that cannot be used."""
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


def test_check_and_serve_exit_with_78_and_the_same_error_for_an_unusable_model(tmp_path: Path, bad_model: str) -> None:
    environ = {"CAMIOHOOKD_LABELER_MODEL": bad_model, "STATE_DIRECTORY": str(tmp_path / "state")}
    check, serve = (camiohookd(name, "--config", os.devnull, **environ) for name in ("check", "serve"))
    assert (check.returncode, check.stdout) == (serve.returncode, serve.stdout) == (ExitStatus.CONFIG, "")
    assert check.stderr == serve.stderr.splitlines(keepends=True)[-1]
    assert check.stderr.startswith("camiohookd: error: ")


def test_check_warns_of_plain_http_that_other_machines_can_reach() -> None:
    done = camiohookd("check", "--config", os.devnull, CAMIOHOOKD_HOOK_LISTEN="0.0.0.0:8000")
    assert (done.returncode, done.stdout) == (ExitStatus.FINE, "ok\n")
    assert done.stderr.startswith("warning: events are received by plain http on 0.0.0.0:8000")


@pytest.mark.parametrize("name", ["check", "serve"])
def test_check_and_serve_fail_without_a_key(name: str) -> None:
    done = camiohookd(name, "--config", os.devnull, CAMIOHOOKD_HOOK_API_KEY="")
    assert done.returncode == ExitStatus.CONFIG
    assert "openssl rand -hex 24" in done.stderr


def test_prints_no_error_if_the_reader_closes_the_pipe() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "camiohookd", "example-config"]
    done = subprocess.run(command, env=ENVIRONMENT, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (ExitStatus.FAILED, "")


@pytest.mark.parametrize("arguments", [["check"], ["example-config"], ["--help"], ["label", SAMPLE]])
def test_reports_output_that_cannot_be_written_in_one_line(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "camiohookd", *arguments]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, env=ENVIRONMENT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == ExitStatus.FAILED
    assert done.stderr == "camiohookd: error: cannot write to standard output: No space left on device\n"


def test_does_not_report_another_system_error_as_an_output_error(
    command: Callable[[Callable[[], object]], int],
) -> None:
    with pytest.raises(ConnectionRefusedError):
        command(raising(ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")))
    with pytest.raises(OSError, match="/somewhere"):
        command(raising(OSError(errno.ENOSPC, "No space left on device", "/somewhere")))


def test_runs_with_closed_standard_output() -> None:
    script = f"exec {sys.executable} -m camiohookd check --config /dev/null >&-"
    done = subprocess.run(["sh", "-c", script], env=ENVIRONMENT, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (ExitStatus.FINE, "")


def test_prefixes_an_error_with_its_priority_under_systemd() -> None:
    done = camiohookd("check", "--config", "/nowhere", JOURNAL_STREAM="8:1234")
    assert done.stderr == "<3>camiohookd: error: /nowhere: there is no such file\n"


def test_prefixes_no_priority_on_a_terminal() -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "camiohookd", "check", "--config", "/nowhere"]
    subprocess.run(command, env=ENVIRONMENT | {"JOURNAL_STREAM": "8:1234"}, stderr=theirs, check=False)
    os.close(theirs)
    assert os.read(ours, 1000).startswith(b"camiohookd: error: ")
    os.close(ours)


def test_ctrl_c_exits_with_130_and_no_traceback(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    command = [sys.executable, "-m", "camiohookd", "check", "--config", str(fifo)]
    process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    # The open returns when the command has opened its end; the command then waits for a configuration.
    with fifo.open("w"):
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=30)
    assert process.returncode == ExitStatus.INTERRUPTED
    assert "Traceback" not in complaint
