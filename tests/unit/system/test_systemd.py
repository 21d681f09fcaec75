import logging
import os
import pty
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from camiohookd.system import logs, systemd

SECRET = "s3cret-key-of-ours"
LOUD = f"""
import logging, threading, warnings
from camiohookd.system import logs
logs.setup_logging("info", ["{SECRET}"])
log = logging.getLogger("camiohookd.hook")
"""


def record(message: str, *args: object, level: int = logging.INFO, error: Exception | None = None) -> logging.LogRecord:
    info = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("camiohookd.hook", level, "hook.py", 1, message, args, info)


def journal(*args: object, level: int = logging.INFO, error: Exception | None = None) -> str:
    message, *rest = args
    return logs.JournalFormatter([SECRET]).format(record(str(message), *rest, level=level, error=error))


def raised(error: Exception) -> Exception:
    try:
        raise error
    except type(error) as caught:
        return caught


@pytest.mark.parametrize(
    ("level", "priority"),
    [(logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.DEBUG, 7), (25, 6)],
)
def test_a_line_for_the_journal_starts_with_its_priority(level: int, priority: int) -> None:
    assert journal("accepted %s", "t1", level=level) == f"<{priority}>camiohookd.hook: accepted t1 event=other"


def test_every_line_of_a_traceback_has_the_priority_and_is_indented() -> None:
    first, *others = journal("failed", level=logging.ERROR, error=raised(ValueError("bad"))).split("\n")
    assert first == "<3>camiohookd.hook: failed event=other"
    assert len(others) >= 3
    assert all(line.startswith("<3>    ") for line in others)
    assert others[-1] == "<3>    ValueError: bad"


@pytest.mark.parametrize(
    "nasty", ["\n<0>forged", "\r<0>forged", "\x1b[2J", "\x00", "\u2028", "\x85", "\u202e", "\udc80"]
)
def test_a_logged_value_cannot_start_a_line_or_control_a_terminal(nasty: str) -> None:
    line = journal("camera %s", nasty)
    assert len(line.splitlines()) == 1
    assert line.isprintable()
    line.encode()


def test_an_error_text_cannot_forge_a_line_in_a_traceback() -> None:
    lines = journal("failed", error=raised(ValueError("x\n<0>forged\rmore\x1b"))).splitlines()
    assert all(line.startswith(("<6>    ", "<6>camiohookd.hook: ")) for line in lines)
    assert "<6>    <0>forged\\rmore\\x1b" in lines


def test_escaped_text_is_still_readable() -> None:
    assert journal("camera %s", "Küche\n2") == "<6>camiohookd.hook: camera Küche\\n2 event=other"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Max retries exceeded with url: /cb/1?sig=a/b==&x (Caused by ...)", "url: /cb/1?*** (Caused by"),
        ("see 'https://camio.com?sig=ab'", "see 'https://camio.com?***'"),
        ("is this machine's clock right?", "is this machine's clock right?"),
        ("and/or? yes", "and/or? yes"),
    ],
)
def test_masks_the_query_of_a_url_in_any_text(text: str, shown: str) -> None:
    assert shown in journal("%s", text)
    assert "sig" not in journal("failed", error=raised(OSError(text)))


def test_masks_secrets_in_message_arguments_and_traceback() -> None:
    text = journal(f"at {SECRET} %s %r", SECRET, {"key": SECRET}, error=raised(OSError(f"/tasks/{SECRET}")))
    assert SECRET not in text
    assert text.count("***") >= 4


def test_masks_the_longer_of_two_secrets_completely() -> None:
    formatter = logs.JournalFormatter(["abcdefgh", "abcdefgh-and-more", ""])
    assert formatter.format(record("abcdefgh-and-more abcdefgh")) == "<6>camiohookd.hook: *** *** event=other"


def test_masks_a_traceback_that_another_handler_has_formatted() -> None:
    entry = record("failed", error=raised(ValueError(SECRET)))
    logging.Formatter().format(entry)
    assert SECRET not in logs.JournalFormatter([SECRET]).format(entry)


def run(script: str) -> str:
    done = subprocess.run([sys.executable, "-c", LOUD + script], capture_output=True, text=True, check=False)
    assert done.stdout == ""
    return done.stderr


def test_logs_records_of_the_level_and_above_to_stderr() -> None:
    assert run("log.debug('no'); log.info('yes'); log.warning('and yes')") == (
        "<6>camiohookd.hook: yes event=other\n<4>camiohookd.hook: and yes event=other\n"
    )


def test_changes_the_level_and_adds_secrets_to_the_earlier_ones() -> None:
    script = f"""{LOUD}
logs.change_logging("debug", ["another-secret"])
log.debug("{SECRET} another-secret")
logs.change_logging("error", [])
log.warning("not this")
log.error("{SECRET} another-secret")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == ("<7>camiohookd.hook: *** *** event=other\n<3>camiohookd.hook: *** *** event=other\n")


def test_formats_the_log_of_libraries_in_the_same_way() -> None:
    assert run(f"logging.getLogger('tornado.access').warning('GET /tasks/{SECRET}')") == (
        "<4>tornado.access: GET /tasks/*** event=other\n"
    )


@pytest.mark.parametrize(
    "script",
    [
        f"raise ValueError('{SECRET}')",
        f"def f(): raise ValueError('{SECRET}')\nt = threading.Thread(target=f); t.start(); t.join()",
        f"warnings.warn('{SECRET}')",
    ],
)
def test_logs_and_masks_uncaught_exceptions(script: str) -> None:
    lines = run(script).splitlines()
    assert lines
    assert all(re.match(r"<[24]>", line) for line in lines)
    assert SECRET not in "".join(lines)
    assert "***" in "".join(lines)


def test_a_line_on_a_terminal_has_time_and_level() -> None:
    ours, theirs = pty.openpty()
    script = LOUD + f"log.info('accepted\\n%s', '{SECRET}')"
    subprocess.run([sys.executable, "-c", script], stderr=theirs, check=True)
    os.close(theirs)
    shown = os.read(ours, 10000).decode()
    os.close(ours)
    assert re.fullmatch(r"\d\d:\d\d:\d\d INFO    camiohookd\.hook: accepted\\n\*\*\* event=other\r\n", shown)


def test_every_line_of_a_complaint_has_the_error_priority_if_systemd_reads_stderr() -> None:
    assert logs.complaint("one\ntwo", {"JOURNAL_STREAM": "8:1"}) == "<3>one\n<3>two"
    assert logs.complaint("one\ntwo", {}) == "one\ntwo"


@pytest.mark.parametrize("abstract", [False, True])
def test_notifies_systemd_by_a_datagram(tmp_path: Path, abstract: bool) -> None:
    name = f"@camiohookd-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name[1:] if abstract else name)
        systemd.notify("READY=1\nSTATUS=läuft", {"NOTIFY_SOCKET": name})
        manager.settimeout(10)
        assert manager.recv(1000).decode() == "READY=1\nSTATUS=läuft"


def test_sends_nothing_without_systemd() -> None:
    systemd.notify("READY=1", {})


def test_only_warns_if_systemd_does_not_listen(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    systemd.notify("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    assert "cannot notify systemd of READY=1" in caplog.text
