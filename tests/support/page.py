"""A browser without scripts for the tests of the status page: cookies, links and forms, over `requests`."""

import html
import re
from typing import Any

import requests

PATIENCE = 60

_FIELD = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)">')
_FORM = re.compile(r'<form method="post" action="([^"]*)"[^>]*>(.*?)</form>', re.DOTALL)


class Page:
    """The last page that was shown."""

    def __init__(self, url: str, verify: str | bool = True) -> None:
        self.url = url
        self.browser = requests.Session()
        self.browser.trust_env = False  # a variable may name another store of certificates
        self.browser.verify = verify
        self.answer = requests.Response()

    def open(self, path: str, **more: Any) -> "Page":
        """Open a path, following redirects as a browser does."""
        self.answer = self.browser.get(f"{self.url}{path}", timeout=PATIENCE, **more)
        return self

    def send(self, action: str, nth: int = 0, /, headers: dict[str, str] | None = None, **fields: str) -> "Page":
        """Send the `nth` form with that action, with other values for some of its fields."""
        forms = [body for path, body in _FORM.findall(self.text) if path == action]
        assert len(forms) > nth, f"there is no form for {action} in:\n{self.text}"
        hidden = {name: html.unescape(value) for name, value in _FIELD.findall(forms[nth])}
        return self.post(action, headers, **(hidden | fields))

    def post(self, path: str, headers: dict[str, str] | None = None, /, **fields: str) -> "Page":
        """Send a form that was not in the page."""
        self.answer = self.browser.post(f"{self.url}{path}", data=fields, headers=headers, timeout=PATIENCE)
        return self

    @property
    def status(self) -> int:
        return self.answer.status_code

    @property
    def text(self) -> str:
        return self.answer.text

    @property
    def path(self) -> str:
        """Return the path and the query at which the last redirect ended."""
        return self.answer.url.removeprefix(self.url)
