"""Schemathesis generates requests from the daemon's OpenAPI description, and sends them to the daemon.

It sends valid and invalid requests. Each answer must have a described status, form and headers; the only 5xx allowed is
503.
"""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.support.daemon_process import KEY, Daemon

NOBODY = "http://127.0.0.1:1"
CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance"),
    *("response_schema_conformance", "unsupported_method", "allow_header_conformance"),
)
CONFIG = '[checks]\nnot_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", 503]\n'
EXAMPLES, LONG_EXAMPLES = 20, 500
SECONDS = 1800


def test_every_response_is_described(tmp_path: Path, long_run: bool, print_figure: Callable[[str], None]) -> None:
    proxies = {"CAMIOHOOKD_HOOK_TRUSTED_PROXIES": '["127.0.0.1"]', "CAMIOHOOKD_HOOK_HEADER_TIMEOUT": "5s"}
    with Daemon(tmp_path, NOBODY, proxies) as daemon:
        report = schemathesis(daemon, tmp_path, LONG_EXAMPLES if long_run else EXAMPLES)
        assert "Traceback" not in daemon.log
        assert daemon.metric("events_accepted_total"), "no event was good enough to be taken"
    statuses = Counter(answer["status_code"] for answer in answers_in(report))
    assert {200, 400, 403, 405} <= set(statuses), "it did not reach what it was to reach"
    assert set(statuses) <= {200, 400, 403, 404, 405, 408, 413, 415, 429, 503}
    print_figure(
        f"API cases: {statuses.total():,} answered as described "
        f"({', '.join(f'{count} with {status}' for status, count in sorted(statuses.items()))})"
    )


def schemathesis(daemon: Daemon, folder: Path, examples: int) -> Path:
    """Run schemathesis; return its report."""
    (folder / "openapi.json").write_text(json.dumps(narrowed(json.loads(daemon.admin("/openapi.json")[1]))))
    (folder / "schemathesis.toml").write_text(CONFIG)
    report = folder / "report.ndjson"
    command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", "schemathesis.toml"]
    command += ["run", "openapi.json", "--url", f"http://127.0.0.1:{daemon.port}", "--checks", ",".join(CHECKS)]
    command += ["--phases", "coverage,fuzzing", "--max-examples", str(examples), "--continue-on-failure"]
    command += ["--report", "ndjson", "--report-ndjson-path", str(report), "--suppress-health-check", "all"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr
    return report


def narrowed(description: dict[str, Any]) -> dict[str, Any]:
    """Narrow the description to what this daemon accepts: its key, a forwarded address, allowed callbacks, base64."""
    key, forwarded = description["paths"]["/tasks/{api_key}"]["parameters"]
    event, image = (description["components"]["schemas"][name]["properties"] for name in ("Event", "Image"))
    event["callback_url"] = {"const": f"{NOBODY}/labels"}
    for within, name, hint in (
        (key, "schema", KEY),
        (forwarded, "schema", "198.51.100.7"),
        (image, "image_b64", "bm8gcGljdHVyZQ=="),
    ):
        within[name] = {"anyOf": [{"const": hint}, within[name]]}
    return description


def answers_in(report: Path) -> Iterator[dict[str, Any]]:
    for line in report.read_text().splitlines():
        scenario = json.loads(line).get("ScenarioFinished")
        for each in scenario["recorder"]["interactions"].values() if scenario else ():
            if each["response"] is not None:
                yield each["response"]
