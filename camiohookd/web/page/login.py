"""``/login`` and ``/logout``: password ─▶ a session and its cookie."""

from urllib.parse import urlsplit

from camiohookd.web.page.endpoint import Form, PageEndpoint
from camiohookd.web.server.error_responses import Refused
from camiohookd.web.sessions import LONGEST_SECONDS


class LoginPage(PageEndpoint):
    """The form for the password. Each session gets a new random token."""

    public = True
    methods = ("GET", "HEAD", "POST")

    async def show(self) -> None:
        if self.page.access.is_logged_in(self.session):
            self.go_to(own_path(self.parameter("next")))
            return
        self.show_page("login", next=own_path(self.parameter("next")), problem="")

    async def act(self, form: Form) -> None:
        access = self.page.access
        try:
            await access.check(form.get("password", ""), self.peer)
        except Refused as error:
            self.refused(error.response)
            self.set_status(error.response.status)
            for name, value in error.response.headers().items():
                self.set_header(name, value)
            self.show_page("login", next=own_path(form.get("next", "")), problem=error.response.message)
            return
        self.authenticate_connection()
        self.set_cookie(
            access.cookie_name,
            access.sessions.begin(),
            path="/",
            httponly=True,
            secure=access.is_secure,
            samesite="Strict",
            max_age=int(LONGEST_SECONDS),
        )
        self.go_to(own_path(form.get("next", "")))


class Logout(PageEndpoint):
    """Ends the session."""

    methods = ("POST",)

    async def act(self, form: Form) -> None:  # noqa: ARG002  # it has a token and no more
        self.page.access.sessions.end(self.session)
        self.clear_cookie(self.page.access.cookie_name, path="/", secure=self.page.access.is_secure)
        self.go_to("/login")


def own_path(address: str) -> str:
    """Return `address` if it is a path of this listener, else the first page."""
    parts = urlsplit(address)
    is_path = address.startswith("/") and not address.startswith("//") and not parts.netloc and "\\" not in address
    return address if is_path and address.isprintable() else "/"
