"""``./build.sh audit`` with the real pip-audit, against a loopback server that answers like OSV.

Its API: https://google.github.io/osv.dev/post-v1-query/
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from tests.support import file_server
from tests.support.checkout import ROOT
from tests.support.daemon_process import free_port

HOLE = {
    "id": "PYSEC-2099-1",
    "summary": "A picture can run code.",
    "affected": [
        {
            "package": {"name": "pillow", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.0.1"}]}],
        }
    ],
}


class Service:
    """The list of known vulnerabilities; `holes` maps packages to what is known of them, None answers 503."""

    def __init__(self, holes: dict[str, list[Any]] | None) -> None:
        self.holes = holes
        self.asked: dict[str, str] = {}

    @contextmanager
    def on(self, port: int) -> Iterator[None]:
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                name = query["package"]["name"]
                service.asked[name] = query["version"]
                known = (service.holes or {}).get(name, [])
                body = json.dumps({"vulns": known} if known else {}).encode()
                self.send_response(503 if service.holes is None else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's name
                """Log nothing."""

        with file_server.running(Handler, port):
            yield


class Auditor:
    """A copy of the files that the command reads, with an installed pip-audit."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        for name in ("build.sh", "requirements.lock"):
            shutil.copy2(ROOT / name, folder / name)

    def audit(self) -> subprocess.CompletedProcess[str]:
        environ = os.environ | {
            "PIP_AUDIT_VULNERABILITY_SERVICE": "osv",
            "PIP_AUDIT_OSV_URL": f"http://127.0.0.1:{self.port}/v1/query",
        }
        command = [str(self._folder / "build.sh"), "audit"]
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)

    @property
    def can_audit(self) -> bool:
        return (self._folder / ".build/audit/bin/pip-audit").exists()


@pytest.fixture(scope="module")
def auditor(tmp_path_factory: pytest.TempPathFactory, long_run: bool) -> Auditor:
    if not long_run:
        pytest.skip("NOT TESTED: ./build.sh audit with the real pip-audit, because that installs it (--long)")
    made = Auditor(tmp_path_factory.mktemp("audit"))
    first = made.audit()  # nothing listens; this installs pip-audit
    if not made.can_audit:
        pytest.skip(f"NOT TESTED: ./build.sh audit, because pip-audit cannot be installed: {first.stderr[-300:]}")
    return made


def test_nothing_known_is_a_success_and_every_pinned_package_was_looked_up(auditor: Auditor) -> None:
    service = Service({})
    with service.on(auditor.port):
        done = auditor.audit()
    assert done.returncode == 0, done.stderr
    assert "No known vulnerabilities found" in done.stderr
    pinned = re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    names = {name.replace(".", "-") for name in pinned}
    assert {"pillow", "tornado", "onnxruntime", "requests"} <= set(service.asked) <= names
    assert len(service.asked) >= len(names) - 5  # some are for other systems alone


def test_a_known_vulnerability_is_a_failure_that_names_the_package_and_the_fixed_version(auditor: Auditor) -> None:
    with Service({"pillow": [HOLE]}).on(auditor.port):
        done = auditor.audit()
    assert done.returncode == 1
    (row,) = [line for line in done.stderr.splitlines() if line.startswith("pillow ")]
    assert row.split()[2:4] == ["PYSEC-2099-1", "99.0.1"]
    assert "raise them with ./build.sh lock PACKAGE" in done.stderr
    assert "NOT AUDITED" not in done.stderr


@pytest.mark.parametrize("listens", [True, False], ids=["answers 503", "does not listen"])
def test_a_list_that_cannot_be_read_is_no_success(auditor: Auditor, listens: bool) -> None:
    if listens:
        with Service(None).on(auditor.port):
            done = auditor.audit()
    else:
        done = auditor.audit()
    assert done.returncode == 1
    assert "NOT AUDITED: the public list of known vulnerabilities cannot be read from here" in done.stderr
