"""Write the manual pages camiohookd(8) and camiohookd.toml(5) with the macros of man(7).

    python3.11 debian/manpages.py FOLDER DATE VERSION

Most text comes from the commands' help and the settings' descriptions. This file adds the installed files, the
environment and the service. It also writes click's shell completions into the same folder.
"""

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from camiohookd import cli
from camiohookd.config import reference

FILES = {
    "/etc/camiohookd/camiohookd.toml": "The settings, see camiohookd.toml(5).",
    "/etc/camiohookd/api-keys": "The keys that Camio may use; the installation made the first one.",
    "/etc/camiohookd/admin-password": "The hash of the status page's password, see camiohookd admin password.",
    "/var/lib/camiohookd": "The queue, the history of the status page, models that you added, labels that you taught.",
    "/usr/lib/camiohookd/trial": "Tries a new version after an upgrade, see SERVICE.",
    "/usr/lib/camiohookd/restore-queue": "Restores the queue for the version before, see SERVICE.",
    "/var/cache/camiohookd-previous": "The version before the last upgrade.",
    "/usr/share/camiohookd/models": "The model of the package.",
    "/usr/share/camiohookd/accelerator.conf": "A drop-in for the service: access to a GPU or an NPU.",
    "/usr/share/camiohookd/own-code.conf": "A drop-in for the service: rights that your own labeling code may need.",
    "/usr/share/camiohookd/low-ports.conf": "A drop-in for the service: ports under 1024.",
    "/usr/share/camiohookd/fleet.conf": "A drop-in for the service of a box behind a load balancer: a stop drains it.",
    "/usr/share/camiohookd/haproxy.cfg": "A configuration of HAProxy for several boxes.",
    "/usr/share/camiohookd/kubernetes.yaml": "An example for Kubernetes: boxes with a volume each, and a model server.",
    "/usr/share/camiohookd/Containerfile": "Describes a container image of the package.",
    "/usr/share/camiohookd/unattended-upgrades.conf": "Lets unattended-upgrades install new versions.",
    "/usr/share/camiohookd/user-data": "An example for cloud-init: installs and sets up a box at its first boot.",
    "/usr/share/camiohookd/alerts.yml": "Alert rules for Prometheus.",
    "/usr/share/camiohookd/grafana-dashboard.json": "A dashboard to import into Grafana.",
    "/usr/share/doc/camiohookd": "The manual: install.md, connect.md, troubleshooting.md and other pages.",
    "/usr/share/doc/camiohookd/tunnel.example": "How to set up a tunnel, and the template of tunnel-NAME.",
    "/etc/camiohookd/tunnel-NAME": "The host and the ports of camiohookd-tunnel@NAME.service.",
    "/etc/camiohookd/tunnel-NAME.key": "The SSH key of that tunnel.",
    "/etc/camiohookd/tunnel-NAME.known_hosts": "The host's own SSH key.",
}
ENVIRONMENT = {
    "CAMIOHOOKD_...": "Every setting outside [[rule]], see camiohookd.toml(5).",
    "CAMIO_OAUTH_TOKEN": "The OAuth token for Camio's API, see camiohookd hooks.",
    "CONFIGURATION_DIRECTORY": "The folder of the settings and keys, instead of /etc/camiohookd.",
    "STATE_DIRECTORY": "The folder of the queue, instead of /var/lib/camiohookd.",
}
SERVICE = """\
camiohookd.service runs "camiohookd serve" as the user camiohookd. "systemctl status camiohookd" shows how many events
wait, how many are labeled per minute, and on which device. "journalctl -u camiohookd" shows a line for each event
accepted, labeled and delivered; "journalctl -u camiohookd CAMERA=front" shows those of one camera.

"systemctl reload camiohookd" makes the service read settings, keys and certificate again. A restart refuses no
connection, because systemd keeps the listening sockets. A wrong setting or model ends the service with exit status 78;
systemd does not start it again until you do.

The status page is at http://127.0.0.1:8001/ on the box: whether the service works, and why not; the last events with
what was found in them; trends; cameras and their zones; failed events. From other machines it takes a password
(camiohookd admin password) and https (tls_cert under [admin]).

After an upgrade, camiohookd-trial.service sends one event with known photographs through the new version. If no labels
come back within two minutes, or the service fails again and again, it installs the version before again, from
/var/cache/camiohookd-previous. /etc/apt/preferences.d/camiohookd-refused then keeps apt from installing the new one.
"camiohookd status", the status page and the notifications say so; "journalctl -u camiohookd-trial" says why.

camiohookd-tunnel@NAME.service carries events from a host of yours on the internet to this box, by reverse SSH.
/usr/share/doc/camiohookd/tunnel.example describes the setup.
"""


def main(folder: Path, date: str, version: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    title = f'"{date}" "camiohookd {version}" '
    (folder / "camiohookd.8").write_text(_page(f'camiohookd 8 {title}"System administration"', _program()))
    (folder / "camiohookd.toml.5").write_text(_page(f'camiohookd.toml 5 {title}"File formats"', _settings()))
    for shell, name in (("bash", "camiohookd"), ("zsh", "_camiohookd"), ("fish", "camiohookd.fish")):
        completion = get_completion_class(shell)
        assert completion is not None
        (folder / name).write_text(completion(cli.root, {}, "camiohookd", "_CAMIOHOOKD_COMPLETE").source())


def _page(title: str, lines: Iterator[str]) -> str:
    return "\n".join((f".TH {title}", ".nh", *lines)) + "\n"


# --- camiohookd(8) --------------------------------------------------------------------------------------------------


def _program() -> Iterator[str]:
    about, _, more = (cli.root.help or "").partition("\n\n")
    yield from (".SH NAME", r"camiohookd \- private labeling service for Camio")
    yield from (".SH SYNOPSIS", r"\fBcamiohookd\fR \fICOMMAND\fR [\fIOPTION\fR...]")
    yield from (".SH DESCRIPTION", *_text(about))
    yield ".SH COMMANDS"
    for context in _contexts(click.Context(cli.root, info_name="camiohookd")):
        yield from _command(context)
    yield from (".SH SERVICE", *_text(SERVICE))
    yield from (".SH FILES", *_list(FILES))
    yield from (".SH ENVIRONMENT", *_list(ENVIRONMENT))
    status = re.search(r"Exit status: (.*)", more)
    assert status is not None
    yield from (".SH EXIT STATUS", *_text(status[1]))
    yield from (".SH SEE ALSO", r"\fBcamiohookd.toml\fR(5), \fBsystemctl\fR(1), \fBjournalctl\fR(1), \fBssh\fR(1)")


def _contexts(group: click.Context) -> Iterator[click.Context]:
    """Yield a context for each command; the commands of a group follow it."""
    assert isinstance(group.command, click.Group)
    for name in group.command.list_commands(group):
        command = group.command.get_command(group, name)
        assert command is not None
        context = click.Context(command, info_name=name, parent=group)
        yield context
        if isinstance(command, click.Group):
            yield from _contexts(context)


def _command(context: click.Context) -> Iterator[str]:
    usage = " ".join(context.command.collect_usage_pieces(context))
    yield f".SS {_escape(context.command_path)} {_escape(usage)}"
    yield from _text(context.command.help or "")
    for parameter in context.command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and record[1] and "--help" not in record[0]:
            yield from _item(*record)


# --- camiohookd.toml(5) ---------------------------------------------------------------------------------------------


def _settings() -> Iterator[str]:
    yield from (".SH NAME", r"camiohookd.toml \- settings of camiohookd")
    yield from (".SH SYNOPSIS", "/etc/camiohookd/camiohookd.toml")
    yield from (".SH DESCRIPTION", *_text(reference.ABOUT))
    for header, about, settings in reference.tables():
        yield from (f'.SH "{_escape(header)}"', *_text(about))
        for setting in settings:
            takes = f"Takes {setting.takes}. Default: {setting.default}."
            yield from _item(setting.key, f"{setting.description}\n\n{takes}")
    yield from (".SH SEE ALSO", r"\fBcamiohookd\fR(8)")


# --- man(7) ---------------------------------------------------------------------------------------------------------


def _list(items: dict[str, str]) -> Iterator[str]:
    for term, text in items.items():
        yield from _item(term, text)


def _item(term: str, text: str) -> Iterator[str]:
    first, *more = _text(text)
    yield from (".TP", rf"\fB{_escape(term)}\fR", *([] if first == ".PP" else [first]))
    yield from (".IP" if line == ".PP" else line for line in more)


def _text(text: str) -> Iterator[str]:
    r"""Yield paragraphs; keep the lines of one that begins with \b."""
    for paragraph in inspect.cleandoc(text).strip().split("\n\n"):
        lines = paragraph.splitlines()
        if lines[0] == "\b":
            yield from (".PP", ".nf", *map(_escape, lines[1:]), ".fi")
        else:
            yield from (".PP", _escape(" ".join(lines)))


def _escape(text: str) -> str:
    text = text.replace("\\", r"\e").replace("-", r"\-").replace("`", "")
    return rf"\&{text}" if text.startswith((".", "'")) else text


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
