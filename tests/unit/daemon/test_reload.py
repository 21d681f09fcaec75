"""The reloader: daily warnings, unexpected errors, and what needs a restart."""

import asyncio
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from camiohookd.config.load import Config
from camiohookd.config.rule import Rule
from camiohookd.config.settings import CallbackSettings, HookSettings, LabelerSettings, LogSettings, QueueSettings
from camiohookd.config.values import Address
from camiohookd.daemon import reload, setup
from camiohookd.daemon.reload import Reloader, needs_restart
from camiohookd.daemon.setup import Setup
from camiohookd.web.server import tls
from tests.support.certificates import make_certificate

NOTHING = Setup(Config(), {}, None)


def test_warns_daily_of_a_certificate_that_expires_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reload, "_DAY", 0.01)
    pair = make_certificate(tmp_path, days=5)
    started = Setup(Config(), {}, tls.load(*map(str, pair)))

    async def some_days() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await Reloader(started, lambda: started, lambda _setup: None).run(asyncio.Event())

    asyncio.run(some_days())
    assert caplog.text.count("expires in 4 days") > 1


def test_reloads_again_after_any_error_in_a_reload(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    used: list[Setup] = []
    results: Iterator[RuntimeError | Setup] = iter([RuntimeError("the cause"), NOTHING])

    def read() -> Setup:
        result = next(results)
        if isinstance(result, RuntimeError):
            raise result
        return result

    async def twice() -> None:
        reloader = Reloader(NOTHING, read, used.append)
        await reloader.reload()
        assert "RuntimeError: the cause" in caplog.text
        assert used == []
        await reloader.reload()

    asyncio.run(twice())
    assert used == [NOTHING]
    assert "reloaded: 0 rules" in caplog.text


def test_only_settings_that_cannot_change_at_run_time_need_a_restart() -> None:
    old = Config()
    at_once = Config(
        log=LogSettings(level="debug"),
        hook=HookSettings(tls_cert="a", tls_key="b", api_keys_file="c"),
        callback=CallbackSettings(allow_hosts=()),
        labeler=LabelerSettings(detail="2x2", static="drop", static_labels=()),
        rule=(Rule(),),
    )
    assert needs_restart(old, at_once) == []
    assert needs_restart(old, Config(queue=QueueSettings(max_tasks=5), hook=HookSettings(max_images=7))) == [
        "hook.max_images",
        "queue.max_tasks",
    ]


def test_a_start_warns_of_weak_keys_and_of_a_certificate_that_expires(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loaded = tls.load(*map(str, make_certificate(tmp_path, days=1)))
    assert loaded is not None
    assert loaded.expires < datetime.now(UTC) + timedelta(days=2)
    setup.warn(Setup(Config(), {"mine": "12345678"}, loaded))
    assert 'the key "mine" is weak' in caplog.text
    assert "12345678" not in caplog.text
    assert "expires in 0 days" in caplog.text


@pytest.mark.parametrize(("listen", "warned"), [("0.0.0.0:8000", True), ("[::]:8000", True), ("127.0.0.1:8000", False)])
def test_a_start_warns_of_plain_http_that_other_machines_can_reach(
    caplog: pytest.LogCaptureFixture, listen: str, warned: bool
) -> None:
    setup.warn(Setup(Config(hook=HookSettings(listen=Address(listen))), {}, None))
    for words in (
        "anyone on the path can read the key and the pictures",
        "Do not forward this port from the internet as it is",
        "set a certificate (hook.tls_cert)",
        'set listen = "127.0.0.1:8000" and let a tunnel or an https proxy on this machine pass the events on',
    ):
        assert (words in caplog.text) is warned
