"""The result of a check."""

from collections.abc import Callable, Iterator
from typing import Literal

import msgspec

from camiohookd.errors import CamiohookdError

Outcome = Literal["ok", "warning", "failed", "not checked"]


class Finding(msgspec.Struct, frozen=True):
    """The result of one check: `text` says what was found, and `advice` what to do ("": nothing, or `text` says it)."""

    group: str
    name: str
    outcome: Outcome
    text: str
    advice: str = ""


Findings = Iterator[Finding]


class Group:
    """Makes findings of one group of checks."""

    def __init__(self, group: str) -> None:
        self._group = group

    def ok(self, name: str, text: str) -> Finding:
        return Finding(self._group, name, "ok", text)

    def warning(self, name: str, text: str, advice: str = "") -> Finding:
        return Finding(self._group, name, "warning", text, advice)

    def failed(self, name: str, text: str, advice: str = "") -> Finding:
        return Finding(self._group, name, "failed", text, advice)

    def not_checked(self, name: str, text: str) -> Finding:
        return Finding(self._group, name, "not checked", text)

    def again(self, finding: Finding) -> Finding:
        """Return a copy of a finding, moved to this group."""
        return msgspec.structs.replace(finding, group=self._group)

    def tried(self, name: str, check: Callable[[], str]) -> Finding:
        """Return ok with the text that `check` returns, or failed with the CamiohookdError that it raises."""
        try:
            return self.ok(name, check())
        except CamiohookdError as error:
            return self.failed(name, str(error))
