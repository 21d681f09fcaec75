"""Every line of the log has a stable event name, which docs/connect.md lists."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.support.checkout import ROOT

PACKAGE = ROOT / "camiohookd"
LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "log"}
NAME = re.compile(r"[a-z]+(_[a-z]+)*")
THROTTLES = ("throttle", "_throttle")
LOGGERS = ("log", "_log", "logging", *THROTTLES)


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Yield each call that logs, with its place."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and receiver(node) in LOGGERS:
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def receiver(call: ast.Call) -> str:
    """Return the last name of what logs: ``_log`` of ``self._log.info(...)``; "" if the call does not log."""
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in LEVELS:
        return ""
    return ast.unparse(call.func.value).rpartition(".")[2]


def names_in(node: ast.expr) -> set[str]:
    """Return the literal names in an expression, those of both branches of ``"a" if x else "b"``."""
    if isinstance(node, ast.IfExp):
        return names_in(node.body) | names_in(node.orelse)
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


def names_of(call: ast.Call) -> set[str]:
    """Return the event names that a call may give its line."""
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    if receiver(call) in THROTTLES:
        return names_in(keywords.get("event", call.args[0]))
    extra = keywords.get("extra")
    if isinstance(extra, ast.Call) and ast.unparse(extra.func) == "about":
        return names_in(extra.args[0]) or ({"(of the caller)"} if "event or kind" in ast.unparse(extra) else set())
    return set()


def listed() -> dict[str, str]:
    """Return what docs/connect.md says of each name."""
    block = (
        (ROOT / "docs/connect.md")
        .read_text()
        .partition("### Names of events")[2]
        .split("```text\n")[1]
        .partition("```")[0]
    )
    return dict(re.split(r"  +", line, maxsplit=1) for line in block.strip().splitlines())


def test_every_call_that_logs_names_its_event() -> None:
    found = list(calls())
    assert len(found) > 100
    for place, call in found:
        assert names_of(call), f"{place}: give it extra=about(NAME), see camiohookd/system/log_fields.py"


def test_the_names_are_the_documented_ones() -> None:
    used = {name for _, call in calls() for name in names_of(call)} - {"(of the caller)"}
    assert all(NAME.fullmatch(name) for name in used)
    assert used | {"other"} == set(listed())
    assert all(meaning.strip() for meaning in listed().values())


def test_a_json_line_is_an_object_with_its_fields_and_without_secrets(tmp_path: Path) -> None:
    script = """
import logging
from camiohookd.system import logs
from camiohookd.system.log_fields import about
logs.setup_logging("info", ["s3cret"], "json")
log = logging.getLogger("camiohookd.worker")
log.info("delivered to s3cret\\x1b", extra=about("delivered", task=7, camera="Küche s3cret"))
log.info("ready", extra=about("ready"))
try:
    raise ValueError("s3cret")
except ValueError:
    log.exception("failed", extra=about("loop_failed"))
logging.getLogger("tornado.general").warning("theirs")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    first, second, third, fourth = map(json.loads, done.stderr.splitlines())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", first.pop("time"))
    assert first == {
        "level": "info",
        "logger": "camiohookd.worker",
        "event": "delivered",
        "task": "7",
        "camera": "Küche ***",
        "message": "delivered to ***\\x1b",
    }
    assert set(second) == {"time", "level", "logger", "event", "message"}
    assert third["traceback"][0] == "Traceback (most recent call last):"
    assert third["traceback"][-1] == "ValueError: ***"
    assert fourth["event"] == "other"
    assert "s3cret" not in done.stderr
