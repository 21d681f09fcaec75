"""Run a command once as the installed service would run it: as its user, in its sandbox, with its environment.

    systemctl cat camiohookd.service ─▶ [Service] with another ExecStart ─▶ a unit in /run ─▶ exit status and output

Only a copy of the unit, with its drop-ins, shows what the service can read, write and bind: root may do more.
"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from camiohookd.errors import CamiohookdError

UNIT = "camiohookd.service"
_PROGRAM = "/usr/bin/camiohookd"
_SYSTEMD_IS_RUNNING = Path("/run/systemd/system")  # sd_booted(3)

# The runtime folder belongs to the running service: a second owner would delete it at its end. But the command has to
# know where the service's control socket is.
_OVERRIDES = """
[Service]
Type=oneshot
TimeoutStartSec=600
ExecCondition=
ExecStartPre=
ExecStart=
ExecStart={command}
ExecStartPost=
ExecReload=
ExecStop=
ExecStopPost=
Restart=no
RestartPreventExitStatus=
WatchdogSec=0
FileDescriptorStoreMax=0
RuntimeDirectory=
Environment=RUNTIME_DIRECTORY=/run/camiohookd
StandardOutput=truncate:{output}
StandardError=inherit
"""


class Ended(NamedTuple):
    """How the command ended, and what it wrote to standard output and standard error."""

    status: int
    output: str


def is_installed() -> bool:
    """Return whether systemd runs here and has the service's unit."""
    return (
        _SYSTEMD_IS_RUNNING.is_dir()
        and shutil.which("systemctl") is not None
        and _systemctl("cat", UNIT).returncode == 0
    )


def is_active() -> bool:
    """Return whether the service runs."""
    return _systemctl("is-active", "--quiet", UNIT).returncode == 0


def reload() -> None:
    """Let the service read its settings again. Raises CamiohookdError if it refuses them."""
    _must("reload")


def restart() -> None:
    """Restart the service, and wait until it is ready. Raises CamiohookdError if it does not start."""
    _must("restart")


def _must(verb: str) -> None:
    done = _systemctl(verb, UNIT)
    if done.returncode:
        raise CamiohookdError(
            f"systemctl {verb} {UNIT} failed: {done.stderr.strip()}; see journalctl -u camiohookd -n 20"
        )


def run(*arguments: str) -> Ended:
    """Run ``camiohookd ARGUMENTS`` as the service would; to be called by root where the service is installed.

    Raises CamiohookdError if systemd cannot start it.
    """
    name = f"camiohookd-once-{os.getpid()}.service"
    unit, output = _SYSTEMD_IS_RUNNING / name, Path(f"/run/{name}.output")
    definition = _service_section(_systemctl("cat", UNIT).stdout)
    unit.write_text(definition + _OVERRIDES.format(command=" ".join((_PROGRAM, *arguments)), output=output))
    try:
        _systemctl("daemon-reload")
        started = _systemctl("start", name)
        status = int(_systemctl("show", "--property=ExecMainStatus", "--value", name).stdout or 0)
        written = output.read_text() if output.exists() else ""
    finally:
        unit.unlink()
        output.unlink(missing_ok=True)
        _systemctl("reset-failed", name)
        _systemctl("daemon-reload")
    if not written and (started.returncode or status):
        reason = started.stderr.strip() or f"exit status {status}"
        raise CamiohookdError(
            f"systemd could not start the command as {UNIT} would be started: {reason}; "
            f"see journalctl -u {name}, and the drop-ins that systemctl cat {UNIT} shows"
        )
    return Ended(status, written)


def _service_section(text: str) -> str:
    """Return the lines of all [Service] sections; the others hold dependencies on units, which do not apply here."""
    kept, inside = ["[Service]"], False
    for line in text.splitlines():
        if line.startswith("["):
            inside = line.strip() == "[Service]"
        elif inside:
            kept.append(line)
    return "\n".join(kept) + "\n"


def _systemctl(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  # systemctl and words of this module
        ["systemctl", *arguments],  # noqa: S607  # as above; root's own PATH
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
