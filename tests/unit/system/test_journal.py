"""The journal's own protocol, against a datagram socket as journald's."""

import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from camiohookd.system.journal import Journal, stderr_is_journal

LOGS = """
import logging, sys
from camiohookd.system import journal, logs
from camiohookd.system.log_fields import about
logs.JournalHandler.__init__.__defaults__ = (sys.argv[1],)
logs.setup_logging("info", ["s3cret-key"], sys.argv[2])
log = logging.getLogger("camiohookd.worker")
"""


class Server:
    """The other side of ``/run/systemd/journal/socket``."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(30)

    def receive(self) -> dict[str, str]:
        """Return the fields of the next record."""
        data, files, _, _ = socket.recv_fds(self.socket, 1 << 20, 1)
        for file in files:
            with os.fdopen(file, "rb") as stream:
                data += os.pread(stream.fileno(), 1 << 26, 0)
        return parsed(data)


def parsed(data: bytes) -> dict[str, str]:
    fields = {}
    while data:
        line, _, data = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            size = int.from_bytes(data[:8], "little")
            value, data = data[8 : 8 + size], data[8 + size + 1 :]
        fields[name.decode()] = value.decode()
    return fields


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "journal")
    yield server
    server.socket.close()


@pytest.fixture
def journal(server: Server) -> Iterator[Journal]:
    journal = Journal(server.path)
    yield journal
    journal.close()


def logged(server: Server, script: str, form: str = "text") -> str:
    """Run `script` with stderr as the journal; return what came to stderr all the same."""
    ours, theirs = socket.socketpair()
    status = os.fstat(theirs.fileno())
    command = [sys.executable, "-c", LOGS + script, server.path, form]
    environ = os.environ | {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
    with ours, theirs:
        subprocess.run(command, env=environ, stderr=theirs.fileno(), check=True)
        theirs.close()
        return ours.makefile().read()


def test_a_record_arrives_with_its_fields(server: Server, journal: Journal) -> None:
    journal.send("labeled task=7", 6, "camiohookd.worker", {"EVENT": "labelled", "TASK": "7", "CAMERA": "Küche"})
    assert server.receive() == {
        "MESSAGE": "labeled task=7",
        "PRIORITY": "6",
        "SYSLOG_IDENTIFIER": "camiohookd",
        "LOGGER": "camiohookd.worker",
        "EVENT": "labelled",
        "TASK": "7",
        "CAMERA": "Küche",
    }


def test_a_value_with_line_ends_arrives_whole(server: Server, journal: Journal) -> None:
    journal.send("failed\n    Traceback:\nPRIORITY=0", 3, "camiohookd.worker", {})
    record = server.receive()
    assert record["MESSAGE"] == "failed\n    Traceback:\nPRIORITY=0"
    assert record["PRIORITY"] == "3"


def test_a_value_too_large_for_a_datagram_arrives_as_a_file_in_memory(server: Server, journal: Journal) -> None:
    large = "x" * (1 << 22)
    journal.send(large, 3, "camiohookd.worker", {"EVENT": "failed"})
    record = server.receive()
    assert record["MESSAGE"] == large
    assert record["EVENT"] == "failed"


def test_says_when_the_journal_is_not_there(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "nobody"))
    with pytest.raises(OSError) as caught:
        journal.send("x", 6, "camiohookd.worker", {})
    assert caught.value.errno == errno.ENOENT
    journal.close()


def test_stderr_is_the_journal_only_if_it_is_the_file_that_systemd_named() -> None:
    reading, writing = os.pipe()
    try:
        status = os.fstat(writing)
        named = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        assert stderr_is_journal(named, writing)
        assert not stderr_is_journal({}, writing)
        assert not stderr_is_journal({"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino + 1}"}, writing)
        assert not stderr_is_journal({"JOURNAL_STREAM": "nonsense"}, writing)
    finally:
        os.close(reading)
        os.close(writing)


def test_the_log_goes_to_the_journal_with_its_fields_and_without_secrets(server: Server) -> None:
    script = 'log.warning("task=7 s3cret-key", extra=about("not_delivered", task=7, camera="front s3cret-key"))'
    assert logged(server, script) == ""
    record = server.receive()
    assert record["MESSAGE"] == "camiohookd.worker: task=7 *** event=not_delivered"
    assert (record["PRIORITY"], record["EVENT"], record["TASK"], record["CAMERA"]) == (
        "4",
        "not_delivered",
        "7",
        "front ***",
    )


def test_with_format_json_the_message_in_the_journal_is_an_object(server: Server) -> None:
    logged(server, 'log.info("delivered", extra=about("delivered", task=7))', "json")
    record = server.receive()
    assert json.loads(record["MESSAGE"])["event"] == record["EVENT"] == "delivered"


def test_the_log_goes_to_stderr_when_the_journal_takes_nothing(server: Server) -> None:
    server.socket.close()
    said = logged(server, 'log.info("delivered", extra=about("delivered"))')
    assert said == "<6>camiohookd.worker: delivered event=delivered\n"
