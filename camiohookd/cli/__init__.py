"""The command line: find the command, run it, and turn its result or error into an exit status.

Arguments → a command's module, imported when it is needed → `ExitStatus`. A command returns an exit status or nothing
(which means 0). If it raises `CamiohookdError`, the user sees the error's text alone.
"""

import errno
import importlib
import os
import sys
from collections.abc import Sequence
from enum import IntEnum
from typing import ClassVar

import click

from camiohookd.errors import CamiohookdError, SetupError
from camiohookd.system import logs, permissions

_PROGRAM = "camiohookd"
_OUTPUT_ERRORS = {
    errno.EPIPE,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.EBADF,
}  # errors of write(2) on standard output


class ExitStatus(IntEnum):
    """The exit status of the process. systemd does not restart the service after `CONFIG` (EX_CONFIG of sysexits.h)."""

    FINE = 0
    FAILED = 1
    USAGE = 2
    CONFIG = 78
    INTERRUPTED = 130


class LazyGroup(click.Group):
    """A group that imports a command's module only when the command is needed."""

    modules: ClassVar[dict[str, str]] = {
        "serve": "serve",
        "setup": "setup.command",
        "check": "check",
        "status": "status.command",
        "doctor": "doctor.command",
        "example-config": "serve",
        "labels": "serve",
        "label": "label.command",
        "models": "models.command",
        "evaluate": "evaluate.command",
        "teach": "teach.teach_command",
        "taught": "teach.taught_command",
        "devices": "devices",
        "simulate": "simulate",
        "key": "key",
        "admin": "admin",
        "rules": "rules",
        "hooks": "hooks.command",
        "queue": "queue",
        "drain": "drain",
        "backup": "backup.backup_command",
        "restore": "backup.restore_command",
    }

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(self.modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # as above
        if cmd_name not in self.modules:
            return None
        module = importlib.import_module(f"{__name__}.{self.modules[cmd_name]}")
        command = getattr(module, cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)
        return command


@click.group(_PROGRAM, cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name=_PROGRAM, prog_name=_PROGRAM)
def root() -> None:
    """A private labeling service for Camio: receives events, labels their pictures, posts the labels back.

    To complete commands and options in bash (similarly in zsh and fish), put

        eval "$(_CAMIOHOOKD_COMPLETE=bash_source camiohookd)"

    into ~/.bashrc.

    \b
    Examples:
      sudo camiohookd setup
      sudo camiohookd status
      camiohookd label photo.jpg
      sudo camiohookd queue list --state failed

    Exit status: 0 success, 1 failure, 2 wrong usage, 78 wrong configuration or model.
    """


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit status; errors are printed on stderr."""
    try:
        result = root.main(list(arguments), prog_name=_PROGRAM, standalone_mode=False)
        if sys.stdout is not None:  # None: standard output was closed at the start
            sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return ExitStatus.INTERRUPTED
    except CamiohookdError as error:
        _complain(str(error))
        return ExitStatus.CONFIG if isinstance(error, SetupError) else ExitStatus.FAILED
    except OSError as error:
        if isinstance(error, PermissionError) and error.filename is not None:  # an error that no command handles
            _complain(f"{error.filename}: {permissions.reason(error, error.filename)}")
            return ExitStatus.FAILED
        if error.filename is not None or error.errno not in _OUTPUT_ERRORS:
            raise
        _abandon_stdout()
        # A reader that closes the pipe, such as `head`, is not an error.
        if not isinstance(error, BrokenPipeError):
            _complain(f"cannot write to standard output: {error.strerror}")
        return ExitStatus.FAILED
    return result if isinstance(result, int) else ExitStatus.FINE


def _complain(text: str) -> None:
    print(logs.complaint(f"{_PROGRAM}: error: {text}"), file=sys.stderr)


def _abandon_stdout() -> None:
    """Redirect stdout to /dev/null, so that the interpreter's last flush does not fail, too."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
