"""A command of the owner is run, and a webhook is called: once, with a deadline, and without secrets."""

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from camiohookd.delivery import Sender
from camiohookd.monitoring.notify.channels import Command, Webhook
from camiohookd.monitoring.notify.ledger import Notice
from tests.support.scripted_server import Peer, answering

NOTICE = Notice("disk_short", "begins", "", "Only 1 MB; $(reboot) is free.", "2026-05-05T11:00:00Z", "now", "box")
HOLDS = "import sys, time; f = open(sys.argv[1], 'w'); time.sleep(600)"


@pytest.fixture
def sender() -> Iterator[Sender]:
    with closing(Sender("1.2", connect_timeout=5, read_timeout=5, deadline=10)) as one:
        yield one


def python(code: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-c", f"import json, os, sys, time, subprocess\n{code}", *arguments)


def tell(channel: Command | Webhook) -> str | None:
    return asyncio.run(channel.tell(NOTICE))


def test_a_command_gets_json_and_a_sentence_and_no_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMIOHOOKD_HOOK_API_KEY", "a-secret-key")
    told = tmp_path / "told"
    code = "with open(sys.argv[1], 'w') as file: json.dump([json.load(sys.stdin), dict(os.environ)], file)"
    assert tell(Command(python(code, str(told)))) is None
    item, environ = json.loads(told.read_text())
    assert item == msgspec.to_builtins(NOTICE)
    assert (environ["ALERT"], environ["ALERT_STATE"], environ["ALERT_TEXT"]) == ("disk_short", "begins", NOTICE.text)
    assert "a-secret-key" not in environ.values()


def test_a_command_need_not_read_and_its_failure_is_logged() -> None:
    why = tell(Command(python("sys.exit('no\\n mailbox')")))
    assert why == f"{sys.executable} ended with status 1: no mailbox"


def test_a_command_that_does_not_exist_is_logged() -> None:
    assert "cannot start /no/such/program" in str(tell(Command(("/no/such/program",))))


def test_a_command_that_hangs_is_killed_with_what_it_started(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    code = "child = subprocess.Popen([sys.executable, '-c', *sys.argv[1:]])\ntime.sleep(600)"
    reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        command = Command(python(code, HOLDS, str(fifo)), seconds=3)
        assert tell(command) == f"{sys.executable} did not finish within 3 s"
        os.set_blocking(reading, True)
        assert os.read(reading, 1) == b""  # the child holds the writing end until it is dead
    finally:
        os.close(reading)


def test_a_command_that_prints_much_takes_no_memory() -> None:
    why = tell(Command(python("sys.stderr.write('x' * 10_000_000); sys.exit(3)")))
    assert why is not None
    assert len(why) < 1000


def test_a_webhook_gets_the_notice_also_in_a_private_network(sender: Sender) -> None:
    with closing(Peer(answering(204))) as peer:
        assert tell(Webhook(f"{peer.url}?token=abc", sender)) is None
    head, _, body = peer.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /callback/1?token=abc HTTP/1.1")
    assert json.loads(body) == msgspec.to_builtins(NOTICE)


def test_a_webhook_follows_no_redirect(sender: Sender) -> None:
    with closing(Peer(answering(200))) as inside, closing(Peer(answering(307, f"Location: {inside.url}"))) as peer:
        why = tell(Webhook(peer.url, sender))
    assert why is not None
    assert inside.requests == []


def test_a_webhook_that_answers_with_an_error_is_logged(sender: Sender) -> None:
    with closing(Peer(answering(500))) as peer:
        assert "500" in str(tell(Webhook(peer.url, sender)))
