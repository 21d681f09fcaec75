"""Call Camio's hooks API, and return Camio's answers unchanged.

    HooksApi.create ──POST──▶ {base}/api/users/me/hooks          list, find ──GET──▶ …/hooks
                                                                 delete ──DELETE──▶ …/hooks/{id}

`create` sends the request of Camio's own instructions (``curl -H "Content-Type: application/json"
-H "Authorization: token T" -d '{…}'``). Camio does not document `list` and `delete`; they follow REST's conventions.
https://api.camio.com describes what Camio offers.

The requests ignore ``~/.netrc``, which could replace the Authorization header, and proxy variables, which would send
the token to a proxy.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

import requests

from camiohookd.errors import CamioRefused, CamioRequestError, CamioUnreachable, MalformedUrl
from camiohookd.net.addresses import is_loopback
from camiohookd.net.urls import split_url
from camiohookd.units import size

COLLECTION = "/api/users/me/hooks"
TIMEOUT = (10.0, 30.0)
"""Seconds to connect, and to wait for the next bytes of the answer."""

MAX_ANSWER = 1_048_576
"""The largest answer in bytes: enough for thousands of hooks."""

_TOKEN = re.compile(r"[!-~]{1,4096}")
_ADVICE = {
    401: "Check the token; to make a new one, open https://camio.com/settings/integrations#api",
    403: "Check the token; to make a new one, open https://camio.com/settings/integrations#api",
    404: "See https://api.camio.com for what Camio's API offers.",
    405: "See https://api.camio.com for what Camio's API offers.",
}


class ApiResponse(NamedTuple):
    """Camio's answer to a request that it accepted: an HTTP `status` from 200 to 299, and the body."""

    status: int
    text: str

    @property
    def is_json(self) -> bool:
        """Whether the body is a JSON object or list."""
        return isinstance(_parsed(self.text), dict | list)

    @property
    def hook_id(self) -> str | None:
        """The hook's id; None if the body is not an object with one."""
        answer = _parsed(self.text)
        return str(answer["id"]) if isinstance(answer, dict) and "id" in answer else None


class RegisteredHook(NamedTuple):
    """A hook of the account; None for what Camio's answer leaves out."""

    id: str | None
    type: str | None
    parsed_query: str | None


def reach(base_url: str) -> str | None:
    """Ask the API at `base_url` for something without a token; any answer will do. Return its Date header.

    Raises `CamioRequestError` if the address is wrong, `CamioUnreachable` if no answer comes.
    """
    _check_base(base_url)
    url = base_url.rstrip("/") + COLLECTION
    headers = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "camiohookd"}
    with _HttpSession() as session:
        session.headers.clear()
        try:
            response = session.get(url, headers=headers, timeout=TIMEOUT, stream=True, allow_redirects=False)
        except requests.RequestException as error:
            raise CamioUnreachable(f"no answer from Camio's API at {url}: {_reason(error, 'GET')}") from error
        response.close()
    date: str | None = response.headers.get("Date")
    return date


class HooksApi:
    """The hooks of the account that `token` belongs to, at `base_url` (``https://camio.com``).

    Raises `CamioRequestError` if `base_url` is not an https address (http is accepted for the loopback only) or `token`
    holds characters that a header cannot hold. `create`, `list` and `delete` raise `CamioRefused` for an answer other
    than 2xx, a redirect included, and `CamioUnreachable` if no usable answer comes.
    """

    def __init__(self, base_url: str, token: str) -> None:
        _check_base(base_url)
        # requests would quote a header that it cannot send, and the token with it, in its error.
        if not _TOKEN.fullmatch(token):
            raise CamioRequestError("the token is empty, or contains a space or a character that no token has")
        self._collection = base_url.rstrip("/") + COLLECTION
        self._headers = {
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "Authorization": f"token {token}",
            "User-Agent": "camiohookd",
        }

    def create(self, callback_url: str, hook_type: str, parsed_query: str) -> ApiResponse:
        """Register a hook."""
        hook = {"callback_url": callback_url, "type": hook_type, "parsed_query": parsed_query}
        try:
            body = json.dumps(hook, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise CamioRequestError("the callback URL or the query contains a byte that is not UTF-8") from None
        return self._request("POST", self._collection, body)

    def list(self) -> ApiResponse:
        """Ask for the account's hooks."""
        return self._request("GET", self._collection)

    def find(self, callback_url: str) -> Sequence[RegisteredHook]:
        """Return the account's hooks that post to `callback_url`; none if Camio does not list hooks."""
        try:
            listed = _parsed(self.list().text)
        except (CamioRefused, CamioUnreachable):
            return ()  # Camio may not list hooks; any other fault shows at the next request
        return [_registered(hook) for hook in _objects(listed) if hook.get("callback_url") == callback_url]

    def delete(self, hook_id: str) -> ApiResponse:
        """Delete a hook."""
        # Dots are resolved as in any path: DELETE …/hooks/.. would address the account.
        if hook_id in ("", ".", ".."):
            raise CamioRequestError(f"{hook_id!r} is not the id of a hook")
        try:
            return self._request("DELETE", f"{self._collection}/{quote(hook_id, safe='')}")
        except UnicodeEncodeError:
            raise CamioRequestError("the hook's id contains a byte that is not UTF-8") from None

    def _request(self, method: str, url: str, body: bytes | None = None) -> ApiResponse:
        headers = self._headers | ({} if body is None else {"Content-Type": "application/json"})
        with _HttpSession() as session:
            session.headers.clear()
            try:
                response = session.request(
                    method, url, headers=headers, data=body, timeout=TIMEOUT, stream=True, allow_redirects=False
                )
                text = _text(response)
            except requests.RequestException as error:
                raise CamioUnreachable(f"no answer from Camio's API at {url}: {_reason(error, method)}") from error
        if not 200 <= response.status_code < 300:
            raise _refusal(response, text)
        return ApiResponse(response.status_code, text)


def _parsed(text: str) -> Any:
    """Return the JSON value in `text`; None if it is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Yield the objects in a list, which may be a member of an object: Camio does not document which it sends."""
    lists = [value, *value.values()] if isinstance(value, dict) else [value]
    yield from (item for each in lists if isinstance(each, list) for item in each if isinstance(item, dict))


def _registered(hook: dict[str, Any]) -> RegisteredHook:
    found = [hook.get(key) for key in RegisteredHook._fields]
    return RegisteredHook(*(None if value is None else str(value) for value in found))


class _HttpSession(requests.Session):
    """A session that ignores the environment and the target of a redirect.

    ``allow_redirects=False`` is not enough: requests then reads the whole body of a redirect, however long, to
    prepare a request that is never sent.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False

    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002  # requests' signature
        return None


def _check_base(base_url: str) -> None:
    try:
        origin, rest = split_url(base_url)
    except MalformedUrl as error:
        raise CamioRequestError(f"the address of Camio's API cannot be used: {error}") from None
    if "?" in rest or "#" in rest:
        raise CamioRequestError("the address of Camio's API must not contain ? or #")
    if origin.scheme != "https" and not is_loopback(origin.host):
        raise CamioRequestError("the address of Camio's API must begin with https://: http does not encrypt the token")


def _text(response: requests.Response) -> str:
    body = bytearray()
    for chunk in response.iter_content(65536):
        body += chunk
        if len(body) > MAX_ANSWER:
            raise CamioUnreachable(f"Camio's API answered with more than {size(MAX_ANSWER)}; the answer is not shown")
    return body.decode("utf-8", "replace")


def _refusal(response: requests.Response, answer: str) -> CamioRefused:
    status = response.status_code
    lines = [f"Camio answered {status} {response.reason}".rstrip(), answer.strip()]
    if target := response.headers.get("Location"):
        lines.append(f"It redirects to {target}. The token is not sent there; to use that address, see --api.")
    lines.append(_ADVICE.get(status, ""))
    return CamioRefused("\n".join(filter(None, lines)), status, answer)


def _reason(error: requests.RequestException, method: str) -> str:
    """Return the system's reason from the chain of exceptions that wrap it."""
    chain = list(_chain(error))
    if isinstance(error, requests.ConnectTimeout):
        return f"no connection within {TIMEOUT[0]:g} s"
    if any("handshake" in str(inner) and isinstance(inner, TimeoutError) for inner in chain):
        return "connected, but the server did not answer the TLS handshake; nothing was sent"
    if isinstance(error, requests.ReadTimeout):
        doubt = "" if method == "GET" else "; run camiohookd hooks list to see whether the request was carried out"
        return f"connected, but the server did not answer{doubt}"
    for inner in chain:
        if isinstance(inner, OSError) and inner.strerror:
            return inner.strerror
    return "the connection was closed early, or the answer is not HTTP"


def _chain(error: BaseException) -> Iterator[BaseException]:
    inner: BaseException | None = error
    while inner is not None:
        yield inner
        inner = inner.__cause__ or inner.__context__
