"""Writes the manual pages camiohookd(8) and camiohookd.toml(5), in the macros of man(7).

    python3.11 debian/manpages.py FOLDER DATE VERSION

The commands' own help and the settings' own descriptions -> pages. What neither says is said here: the files, and what
belongs to the box. The shell completions are click's, and land in the same folder.
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
    "/etc/camiohookd/api-keys": "The keys that Camio may post with; the first one was made at the installation.",
    "/var/lib/camiohookd": "The queue, and models that were added.",
    "/usr/share/camiohookd/models": "The model that is installed with the package.",
    "/usr/share/camiohookd/accelerator.conf": "A drop-in for the unit that lets a GPU or an NPU in.",
    "/usr/share/camiohookd/own-code.conf": "A drop-in for the unit for labels of your own.",
    "/etc/camiohookd/tunnel-NAME": "Where camiohookd-tunnel@NAME.service leads, see below.",
}
ENVIRONMENT = {
    "CAMIOHOOKD_...": "Every setting outside [[rule]], see camiohookd.toml(5).",
    "CAMIO_OAUTH_TOKEN": "The OAuth token for Camio's API, see camiohookd hooks.",
    "CONFIGURATION_DIRECTORY": "Where the settings and keys are, instead of /etc/camiohookd.",
    "STATE_DIRECTORY": "Where the queue is, instead of /var/lib/camiohookd.",
}
SERVICE = """\
The service camiohookd.service runs "camiohookd serve" as the user camiohookd. "systemctl status camiohookd" shows how
many events wait, how many are labelled in a minute, and on what; "journalctl -u camiohookd" shows a line for each event
accepted, labelled and delivered.

"systemctl reload camiohookd" reads settings, keys and certificate again. No connection is refused while the service is
restarted: its sockets are kept by systemd meanwhile. A wrong setting or model ends it with exit status 78, and it is
not started again before you do so.

camiohookd-tunnel@NAME.service brings events in through a host of yours on the internet, by reverse SSH; the file
/etc/camiohookd/tunnel-NAME says which. /usr/share/doc/camiohookd/tunnel.example explains it.
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
    yield from (".SH NAME", r"camiohookd \- private labelling service for Camio")
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
    """One for each command, those of a group behind their group."""
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
    r"""Paragraphs; one that begins with \b is left as it is."""
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
