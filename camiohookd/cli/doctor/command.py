"""`camiohookd doctor`: check the service from end to end, and say what to do about each problem.

root, the service is installed ─▶ the same command again, run as the service, with --json ─┐
`doctor.examination` ─▶ findings                                                          ─┴▶ ticks, or JSON; the status
"""

import os
import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from camiohookd.cli.settings import api_option, config_option, judges_the_service
from camiohookd.errors import CamiohookdError
from camiohookd.system.logs import escape

if TYPE_CHECKING:
    from camiohookd.cli.doctor.findings import Finding

_WIDTH = 100
_MARKS = {"ok": "✓", "warning": "!", "failed": "✗", "not checked": "-"}
_ASCII_MARKS = {"ok": "ok  ", "warning": "WARN", "failed": "FAIL", "not checked": "-   "}


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per check instead of text.")
@click.option("--as-me", is_flag=True, help="Check as the user who runs this, not as the service.")
@click.option("--event", "only_event", is_flag=True, help="Only send the event, through the running service.")
@api_option
def doctor(config_file: Path | None, as_json: bool, as_me: bool, only_event: bool, base_url: str) -> int:
    """Check everything from the settings to the labels of an event, and say what to do about each problem.

    It checks settings, files, keys, disk, clock, model, the listeners and their certificate, the public URL, Camio's
    API and the callback hosts. Then it sends four known photographs through the service as one event. If the service is
    stopped, it starts a temporary one. This takes up to a minute, or longer if something does not answer.

    A JSON object is {"group", "name", "outcome": "ok", "warning", "failed" or "not checked", "text", "advice"}.

    On an installed box, run it with sudo. Exit status: 0 if nothing failed, else 1.

    \b
    Examples:
      sudo camiohookd doctor
      sudo camiohookd doctor --json | jq -r 'select(.outcome == "failed") | .text'
    """
    if only_event:
        from camiohookd.cli.doctor.examination import examine_event

        return 1 if "failed" in list(_show(examine_event(config_file, os.environ), as_json=as_json)) else 0
    outcomes = show_examination(config_file, api=base_url, as_json=as_json, as_me=as_me)
    return 1 if "failed" in outcomes else 0


def show_examination(config_file: Path | None, *, api: str, as_json: bool = False, as_me: bool = False) -> list[str]:
    """Run the checks, print each finding at once, and return the outcomes."""
    if not as_me and judges_the_service(config_file):
        findings = _as_the_service(api)
    else:
        from camiohookd.cli.doctor.examination import examine

        findings = examine(config_file, os.environ, api)
    return list(_show(findings, as_json=as_json))


def _as_the_service(api: str) -> "Iterator[Finding]":
    """Yield the findings of a doctor that runs as the service does. Raises CamiohookdError."""
    import msgspec

    from camiohookd.cli.doctor.findings import Finding
    from camiohookd.system import service

    click.echo("checking as the service; this takes up to a minute ...", err=True)
    ended = service.run("doctor", "--as-me", "--json", "--api", api)
    found = 0
    for line in ended.output.splitlines():
        try:
            yield msgspec.json.decode(line, type=Finding)
            found += 1
        except msgspec.MsgspecError:
            click.echo(line, err=True)  # a warning of a library, or an error
    if ended.status not in (0, 1) or not found:
        raise CamiohookdError(f"the doctor ended early, with status {ended.status}; its output is above")


def _show(findings: "Iterable[Finding]", *, as_json: bool) -> Iterator[str]:
    import msgspec

    group, outcomes = "", list[str]()
    marks = _MARKS if _can_encode(_MARKS.values()) else _ASCII_MARKS
    for each in findings:
        outcomes.append(each.outcome)
        if as_json:
            click.echo(msgspec.json.encode(each))
        else:
            if each.group != group:
                group = each.group
                click.echo(group)
            click.echo("\n".join(_lines(each, marks[each.outcome])))
        sys.stdout.flush()
        yield each.outcome
    if not as_json:
        click.echo(_summary(outcomes))


def _lines(finding: "Finding", mark: str) -> Iterator[str]:
    indent = " " * (len(mark) + 3)
    for nth, line in enumerate(f"{finding.name}: {finding.text}".splitlines()):
        yield from textwrap.wrap(
            escape(line),
            _WIDTH,
            initial_indent=f"  {mark} " if nth == 0 else indent,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
    if finding.advice:
        yield from textwrap.wrap(
            escape(finding.advice),
            _WIDTH,
            initial_indent=f"{indent}to do: ",
            subsequent_indent=f"{indent}       ",
            break_long_words=False,
            break_on_hyphens=False,
        )


def _summary(outcomes: list[str]) -> str:
    counts = {outcome: outcomes.count(outcome) for outcome in ("failed", "warning", "not checked")}
    if not any(counts.values()):
        return "\nall is well"
    failed = f"{counts['failed']} failed" if counts["failed"] else "nothing failed"
    warnings = "1 warning" if counts["warning"] == 1 else f"{counts['warning']} warnings"
    return f"\n{failed}; {warnings}, {counts['not checked']} not checked"


def _can_encode(marks: Iterable[str]) -> bool:
    try:
        "".join(marks).encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
