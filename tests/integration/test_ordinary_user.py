"""Every command, run by a person who may not read a file that it needs, says "run this command with sudo".

The commands come from the program itself, so that a new one is tested, too.
"""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import click
import pytest

from camiohookd.cli import root
from tests.support.checkout import ROOT
from tests.support.daemon_process import KEY, SAMPLES, free_port
from tests.support.users import open_folder, ordinary_user

ADVICE = "run this command with sudo"
PICTURE = SAMPLES / "chelsea.jpg"
NOWHERE = "http://127.0.0.1:9"
TOKEN_FILE = "--token-file"  # the name of an option


def commands(command: click.Command = root, *name: str) -> Iterator[tuple[str, click.Command]]:
    """Yield every command that can be run, with its name."""
    if not isinstance(command, click.Group) or command.invoke_without_command:
        yield " ".join(name), command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for each in command.list_commands(context):
            found = command.get_command(context, each)
            assert found is not None
            yield from commands(found, *name, each)


COMMANDS = dict(commands())
MORE = {
    "admin password": ["--remove"],
    "devices": ["--model", "/nonexistent"],  # trying out devices takes long
    "doctor": ["--api", NOWHERE],
    "hooks create": ["--query", "1==1", "--public-url", "https://hook.example.org", "--api", NOWHERE],
    "hooks list": ["--api", NOWHERE],
    "hooks delete": ["--api", NOWHERE],
    "setup": ["--non-interactive", "--no-doctor"],
    "simulate": ["--url", NOWHERE],
    "teach": ["--on", "car"],
    "queue retry": ["1"],
    "queue drop": ["1"],
}
"""Arguments of a command besides those that it requires."""


class Closed(NamedTuple):
    """What is closed to others; the names of files are relative to the box's folder.

    `refused` are the commands that need it.
    """

    names: list[str]
    refused: set[str]
    files: Mapping[str, str] = MappingProxyType({})
    environ: Mapping[str, str] = MappingProxyType({})
    """The values are names of files."""


SETTINGS = "etc/camiohookd.toml"
KEYS = "etc/api-keys"
PASSWORD = "etc/admin-password"
SOCKET = "run/control.sock"
RULE = "rule.toml"
FILES = {"rules add": RULE, "backup": "new.backup", "taught export": "new.taught"}
"""The file for commands that write one or need one of a certain kind; the others get the picture."""

KEYS_NEEDED = {"serve", "check", "simulate", "key list", "hooks create"}
SETTINGS_NEEDED = {*KEYS_NEEDED, "labels", "key new", "key retire", "rules add", "setup"}
QUEUE_NEEDED = {"queue list", "queue show", "queue retry", "queue drop", "queue export"}
CLOSED = {
    "the settings": Closed([SETTINGS], SETTINGS_NEEDED),
    "the folder of the settings": Closed(["etc"], {*SETTINGS_NEEDED, "admin password"}),
    "the file of keys": Closed([KEYS], {*KEYS_NEEDED, "key new", "key retire", "setup"}),
    "the file of the password": Closed([PASSWORD], {"serve", "check"}, {PASSWORD: ""}),
    "the certificate's private key": Closed(
        ["tls.key"],
        {"serve", "check"},
        {"tls.key": "", "tls.pem": ""},
        {"CAMIOHOOKD_HOOK_TLS_KEY": "tls.key", "CAMIOHOOKD_HOOK_TLS_CERT": "tls.pem"},
    ),
    "own code": Closed(
        ["labeler.py"], {"serve", "check", "label"}, {"labeler.py": ""}, {"CAMIOHOOKD_LABELER_SCRIPT": "labeler.py"}
    ),
    "the model": Closed(
        ["model.toml"], {"serve", "check", "labels", "label"}, {"model.toml": ""}, {"CAMIOHOOKD_LABELER_MODEL": "."}
    ),
    "the state folder": Closed(["state"], {"serve", "check", *QUEUE_NEEDED}),
    "a file of the queue": Closed(["state/lock"], {"serve", "check", *QUEUE_NEEDED}, {"state/lock": ""}),
    "the daemon's socket": Closed([SOCKET, "state"], {"serve", "check", "status", *QUEUE_NEEDED}),
}


class Result(NamedTuple):
    status: int | str
    output: str
    errors: str


class Person:
    """Runs commands as an ordinary user."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def types(self, *arguments: str, **environ: str) -> Result:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps([arguments, environ]), file=self._process.stdin, flush=True)
        return Result(*json.loads(self._process.stdout.readline()))


@pytest.fixture(scope="module")
def person() -> Iterator[Person]:
    if not _others_can_read(PICTURE):
        pytest.skip("NOT TESTED: commands of an ordinary user, because only root can read this checkout")
    command, picture = [sys.executable, "-m", "tests.support.as_ordinary_user"], PICTURE.read_bytes()
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Person(process)
    assert PICTURE.read_bytes() == picture, "a command has written to a file that it was given to read"


def _others_can_read(file: Path) -> bool:
    with ordinary_user(), suppress(PermissionError):
        return file.read_bytes() != b""
    return False


@contextmanager
def box(closed: Closed) -> Iterator[tuple[Path, dict[str, str]]]:
    """Make a box's folders and files, some of them closed; give their folder, and the environment of commands."""
    with open_folder() as folder, socket.socket(socket.AF_UNIX) as listener:
        for name in ("etc", "state", "run"):
            (folder / name).mkdir()
            (folder / name).chmod(0o777)
        for name, text in {SETTINGS: "", KEYS: f"camio {KEY}\n", RULE: "[[rule]]\n", **closed.files}.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)
        if SOCKET in closed.names:
            listener.bind(str(folder / SOCKET))
            listener.listen()
        for name in closed.names:
            (folder / name).chmod(0)
        environ = {
            "CONFIGURATION_DIRECTORY": str(folder / "etc"),
            "STATE_DIRECTORY": str(folder / "state"),
            "RUNTIME_DIRECTORY": str(folder / "run"),
            "CAMIOHOOKD_HOOK_LISTEN": f"127.0.0.1:{free_port()}",
            "CAMIOHOOKD_ADMIN_LISTEN": f"127.0.0.1:{free_port()}",
            "CAMIO_OAUTH_TOKEN": "token",
            **{name: str(folder / file) for name, file in closed.environ.items()},
        }
        if "CAMIOHOOKD_LABELER_SCRIPT" in environ:
            environ["CAMIOHOOKD_LABELER_KIND"] = "python"
        try:
            yield folder, environ
        finally:
            for name in closed.names:
                if (folder / name).exists():
                    (folder / name).chmod(0o700)


@pytest.fixture(scope="module", params=list(CLOSED.values()), ids=list(CLOSED))
def closed(request: pytest.FixtureRequest) -> Iterator[tuple[Closed, Path, dict[str, str]]]:
    with box(request.param) as (folder, environ):
        yield request.param, folder, environ


def required(name: str, folder: Path) -> Iterator[tuple[click.Parameter, str]]:
    """Yield the parameters that a command requires, with a value; `folder` is the box's."""
    for parameter in COMMANDS[name].params:
        if parameter.required:
            is_file = isinstance(parameter.type, click.Path) and parameter.type.file_okay
            yield parameter, str(folder / FILES[name] if name in FILES else PICTURE) if is_file else "1"


def as_arguments(values: Any) -> list[str]:
    return [word for parameter, value in values for word in as_typed(parameter, value)]


def as_typed(parameter: click.Parameter, value: str) -> list[str]:
    return [value] if isinstance(parameter, click.Argument) else [parameter.opts[0], value]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_cannot_read_something_asks_for_sudo(
    name: str, closed: tuple[Closed, Path, dict[str, str]], person: Person
) -> None:
    what, folder, environ = closed
    result = person.types(*name.split(), *as_arguments(required(name, folder)), *MORE.get(name, []), **environ)
    check_advice(result, refused=name in what.refused)


def check_advice(result: Result, *, refused: bool) -> None:
    assert isinstance(result.status, int), result.status
    text = " ".join((result.output + result.errors).split())
    complains = any(words in text for words in ("denied", "readable", "cannot be read", "may be opened only"))
    assert (ADVICE in text) or not (refused or complains), text
    assert not re.search("chgrp|chown|chmod (?!o-rwx)", text), text
    assert result.status != 0 or not refused


ONLY_THE_FOLDER = {("admin password", "config_file"), ("backup", "file")}
"""Commands and their file parameters, of which only the file's folder is used."""

NOT_REACHED = {("taught export", "file"), ("restore", "config_file")}
"""Commands and their file parameters that are reached only with something taught, or with a good backup."""


def readable_files() -> list[tuple[str, str]]:
    """Return each command with each of its arguments and options that name a file to be read."""
    return [
        (name, parameter.name or "")
        for name, command in COMMANDS.items()
        for parameter in command.params
        if (name, parameter.name) not in NOT_REACHED
        and (TOKEN_FILE in parameter.opts or (isinstance(parameter.type, click.Path) and parameter.type.file_okay))
    ]


@pytest.mark.parametrize("closed_name", ["private/file", "private"])
@pytest.mark.parametrize(("name", "given"), readable_files())
def test_a_command_that_is_given_a_closed_file_asks_for_sudo(
    name: str, given: str, closed_name: str, person: Person
) -> None:
    [parameter] = [each for each in COMMANDS[name].params if each.name == given]
    with box(Closed([closed_name], set(), {"private/file": ""})) as (folder, environ):
        others = [(each, value) for each, value in required(name, folder) if each is not parameter]
        option = as_typed(parameter, str(folder / "private/file"))
        if given == "more_images":  # only behind --images
            option = ["--images", str(PICTURE), *option]
        result = person.types(*name.split(), *as_arguments(others), *MORE.get(name, []), *option, **environ)
    check_advice(result, refused=(name, given) not in ONLY_THE_FOLDER or closed_name == "private")
