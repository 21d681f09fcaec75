"""Requests to an inference server: its token and certificates, and what an answer's status means."""

import ssl
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from camiohookd.config.settings import RemoteSettings
from camiohookd.errors import ConfigError
from camiohookd.labelers.remote.protocol import error_text
from camiohookd.labelers.remote.unusable import Unusable, one_line
from camiohookd.net.urls import split_url
from camiohookd.outgoing.ca_store import trusted_certificates
from camiohookd.outgoing.client import Client, NoAnswer, WholeAnswer
from camiohookd.system.permissions import reason


class ServerRefused(Unusable):
    """The server answered with an error; `status` is the answer's."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class Caller:
    """Makes requests as the settings say; shared by all servers and threads. Raises ConfigError."""

    def __init__(self, settings: RemoteSettings) -> None:
        self._token_file = Path(settings.token_file) if settings.token_file else None
        certificates = trusted_certificates(settings.ca, "labeler.remote.ca")
        self._client = Client(certificates, _identity(settings), settings.timeout)
        # A server that compresses its answer takes several times as long as the model does.
        self._headers = {
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "User-Agent": f"camiohookd/{version('camiohookd')}",
        }
        self._token()

    def get(self, url: str) -> WholeAnswer:
        """Raises Unusable, or Refused for an answer with another status than 200."""
        return self._ask("GET", url, None, {})

    def post(self, url: str, data: bytes, headers: Mapping[str, str]) -> WholeAnswer:
        """Raises as `get` does."""
        return self._ask("POST", url, data, headers)

    def close(self) -> None:
        self._client.close()

    def _ask(self, method: str, url: str, data: bytes | None, headers: Mapping[str, str]) -> WholeAnswer:
        try:
            answer = self._client.ask(method, url, data, {**self._headers, **self._token(), **headers})
        except NoAnswer as error:
            raise Unusable(str(error)) from None
        if answer.status == 200:
            if (coding := answer.headers.get("content-encoding", "identity").lower()) not in ("", "identity"):
                raise Unusable(f"sent an answer in the coding {one_line(coding)!r}, although none was asked for")
            return answer
        if 300 <= answer.status < 400:
            raise ServerRefused(f"answered {answer.status}, a redirect, which is not followed", answer.status)
        told = error_text(answer.data)
        raise ServerRefused(f"answered {answer.status}{f': {told}' if told else ''}", answer.status)

    def _token(self) -> Mapping[str, str]:
        """Read the token, which may have been replaced. Raises ConfigError."""
        path = self._token_file
        if path is None:
            return {}
        try:
            token = path.read_text("ascii").strip()
        except OSError as error:
            raise ConfigError(f"labeler.remote.token_file: {path}: {reason(error, path)}") from None
        except UnicodeDecodeError:
            token = ""
        if not token or not token.isprintable() or " " in token:
            raise ConfigError(f"labeler.remote.token_file: {path}: expected one line with the token")
        return {"Authorization": f"Bearer {token}"}


def shown(url: str) -> str:
    """Return an endpoint's origin, as text for the log."""
    return str(split_url(url)[0])


def _identity(settings: RemoteSettings) -> tuple[str, str] | None:
    """Return the files of the certificate and the key to show to servers. Raises ConfigError."""
    if bool(settings.client_cert) != bool(settings.client_key):
        raise ConfigError("labeler.remote: set client_cert and client_key, or neither")
    if not settings.client_cert:
        return None
    files = (settings.client_cert, settings.client_key)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(*files)
    except OSError as error:
        why = "they are not a certificate and its key (PEM)" if isinstance(error, ssl.SSLError) else error.strerror
        raise ConfigError(f"labeler.remote.client_cert, client_key: {files[0]}, {files[1]}: {why}") from None
    return files
