"""Do what all pages share: login, forms, headers, templates.

headers ─▶ Host ─▶ session ─▶ `show` ─▶ a page
                      └ none ─▶ /login          a form ─▶ its token ─▶ `act` ─▶ a redirect, or a page

Everything here runs on the event loop.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, quote, urlsplit

from tornado.template import Loader

from camiohookd import units
from camiohookd.system import manual
from camiohookd.web.access import Access
from camiohookd.web.page import words
from camiohookd.web.page.feed import Feed
from camiohookd.web.page.sources import Sources
from camiohookd.web.page.static import StaticFiles
from camiohookd.web.server import error_responses
from camiohookd.web.server.endpoint import Endpoint
from camiohookd.web.server.error_responses import ErrorResponse, Refused

TEMPLATES = Path(__file__).with_name("templates")
MOST_FORM_BYTES = 64 * 1024
MOST_FIELDS = 200

HEADERS = {
    "Content-Type": "text/html; charset=UTF-8",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}

TABS = (
    ("/", "Now"),
    ("/events", "Events"),
    ("/trends", "Trends"),
    ("/cameras", "Cameras"),
    ("/failed", "Failed"),
    ("/doctor", "Doctor"),
)
"""The pages in the header of each page: path and name."""

Form = Mapping[str, str]
"""The first value of each field."""


@dataclass(frozen=True, slots=True)
class PageContext:
    """The parts that all pages share. A template is compiled when it is first used."""

    access: Access
    sources: Sources
    feed: Feed
    version: str
    static: StaticFiles = field(default_factory=StaticFiles)
    templates: Loader = field(default_factory=partial(Loader, str(TEMPLATES)))


class PageEndpoint(Endpoint):
    """A page; a subclass defines `show`, and `act` if it has a form."""

    public: ClassVar[bool] = False
    """Whether the page is shown without a login."""

    def initialize(self, page: PageContext) -> None:
        self.page = page

    async def show(self) -> None:
        """Answer a GET."""
        raise NotImplementedError

    async def act(self, form: Form) -> None:
        """Answer a POST whose form has the right token."""
        raise NotImplementedError

    def admit(self) -> None:
        if not self.page.access.allows_host(self.request.host_name):
            raise Refused(error_responses.FOREIGN_HOST)
        self._is_in = self.public or self.page.access.is_logged_in(self.session)
        if self.request.method == "POST":
            if not self._is_in:
                raise Refused(error_responses.LOG_IN)
            self.body.limit = MOST_FORM_BYTES

    async def serve(self) -> None:
        if not self._is_in:
            self.redirect(f"/login?next={quote(self.request.uri or '/', safe='')}", status=303)
        elif self.request.method == "POST":
            form = self._form()
            self._check_origin()
            if not self.page.access.sessions.is_form_token(self.session, form.get("token", "")):
                raise Refused(error_responses.FORGED_FORM)
            await self.act(form)
        else:
            await self.show()

    @property
    def session(self) -> str:
        """Return the token of the session's cookie, "" if there is none."""
        return self.get_cookie(self.page.access.cookie_name) or ""

    def page_template(self, name: str, **values: Any) -> bytes:
        """Return the template ``NAME.html``, filled with `values`."""
        common = {
            "static": self.page.static.url,
            "token": self.page.access.sessions.form_token(self.session),
            "has_password": self.page.access.needs_password,
            "version": self.page.version,
            "path": self.request.path,
            "tabs": TABS,
            "words": words,
            "manual": manual,
            "units": units,
        }
        return self.page.templates.load(f"{name}.html").generate(**common, **values)

    def show_page(self, name: str, **values: Any) -> None:
        """Respond with the template ``NAME.html``."""
        self.write(self.page_template(name, **values))

    def go_to(self, path: str) -> None:
        """Respond with a redirect to `path` of this listener, after a form."""
        self.redirect(path, status=303)

    def parameter(self, name: str) -> str:
        """Return a parameter of the query, "" if it is missing."""
        return self.get_query_argument(name, "")

    def error_body(self, response: ErrorResponse) -> bytes:
        self.set_header("Content-Type", HEADERS["Content-Type"])
        return self.page_template("error", response=response)

    def set_default_headers(self) -> None:
        super().set_default_headers()
        for name, value in HEADERS.items():
            self.set_header(name, value)

    def _form(self) -> Form:
        """Return the fields of a form. Raises `Refused`."""
        try:
            text = b"".join(self.body.chunks).decode("ascii")
            fields = parse_qs(text, keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
        except ValueError:
            raise Refused(error_responses.BAD_FORM) from None
        return {name: values[0] for name, values in fields.items()}

    def _check_origin(self) -> None:
        """Raise `Refused` if the Origin header (Fetch standard, section 3.2) names another site."""
        origin = self.request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc.lower() != self.request.host.lower():
            raise Refused(error_responses.FORGED_FORM)


class UnknownPage(PageEndpoint):
    """Any other path: answers 404 in HTML for a browser, otherwise in JSON."""

    public = True
    methods = ()

    def error_body(self, response: ErrorResponse) -> bytes:
        if "text/html" in self.request.headers.get("Accept", ""):
            return super().error_body(response)
        self.set_header("Content-Type", error_responses.COMMON_HEADERS["Content-Type"])
        return response.body()
