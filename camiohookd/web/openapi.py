"""The public listener's three endpoints as an OpenAPI 3.1 description, which the private listener serves.

`error_responses`, `views.Page` ─▶ `describe` ─▶ JSON values. The error responses of each endpoint are listed as the
objects that the endpoint itself sends, so that status, code and message cannot differ.
"""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import msgspec

from camiohookd.errors import PayloadError, PrivateCallback, QueueFull, StoreUnavailable
from camiohookd.queue import views
from camiohookd.web.server import error_responses
from camiohookd.web.server.error_responses import ErrorResponse, response_for

Json = dict[str, Any]

OF_ANY_REQUEST = (
    error_responses.BAD_REQUEST,
    error_responses.BAD_FRAMING,
    error_responses.BODY_LATE,
    error_responses.TOO_MANY_CONNECTIONS,
    error_responses.UNEXPECTED,
)
OF_THE_STATUS = (*OF_ANY_REQUEST, error_responses.too_large(0), error_responses.DRAINING)
WITH_A_KEY = (
    *OF_ANY_REQUEST,
    error_responses.WRONG_KEY,
    error_responses.UNKNOWN_PATH,
    error_responses.too_many_wrong_keys(1),
    response_for(StoreUnavailable("the disk failed")),
)
OF_A_PAGE = (
    *WITH_A_KEY,
    error_responses.too_large(0),
    error_responses.bad_parameter("limit", "a number from 1 to 1000"),
)
OF_AN_EVENT = (
    *WITH_A_KEY,
    error_responses.too_large(32 * 1024 * 1024),
    error_responses.BAD_GZIP,
    response_for(PayloadError("missing", "callback_url is missing", "callback_url")),
    response_for(PrivateCallback("callback host not allowed: 10.0.0.1 is a private address")),
    error_responses.ENCODED_BODY,
    response_for(QueueFull("100000 events wait already", retry_after=60)),
    error_responses.BODIES_IN_FLIGHT,
    error_responses.DRAINING,
)


def _parameter(name: str, place: str, description: str, schema: Json) -> Json:
    return {"name": name, "in": place, "description": description, "schema": schema}


_KEY = _parameter(
    "api_key",
    "path",
    "One of the owner's keys, percent-encoded or not.",
    {"type": "string", "minLength": 8, "maxLength": 256, "pattern": r"^[A-Za-z0-9\-._~]+$"},
) | {"required": True}
_FORWARDED = _parameter(
    "X-Forwarded-For",
    "header",
    "The client's address, for the limits of one address; only trusted_proxies may set it.",
    {"type": "string"},
)
_LIMIT = _parameter(
    "limit", "query", "The most tasks to return.", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}
)
_AFTER = _parameter(
    "after", "query", "The `next` of the previous page.", {"type": "string", "pattern": "^[0-9]{1,19}$"}
)
_NONCE = _parameter(
    "nonce", "query", "A number that the owner's doctor has announced; any other is ignored.", {"type": "string"}
)
_ENCODING = _parameter(
    "Content-Encoding", "header", "How the body is compressed.", {"enum": ["identity", "gzip", "x-gzip"]}
)

# RFC 4648, section 4: the unused bits of the last letter before the padding are zero.
_BASE64 = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{4}|[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)$"
_ONE_LINE = r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]{1,200}$"

_TEXT: Json = {"type": "string"}
_EVENT: Json = {
    "type": "object",
    "description": "One event of Camio's. Other members are stored but not used.",
    "required": ["callback_url", "images"],
    "properties": {
        "callback_url": {"type": "string", "format": "uri", "description": "Where to post the labels of this event."},
        "camera": {"type": "string", "description": "The camera's name."},
        "user_id": _TEXT,
        "images": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/Image"}},
    },
}
_IMAGE: Json = {
    "type": "object",
    "required": ["image_b64", "timestamp"],
    "properties": {
        "image_b64": {
            "type": "string",
            "contentEncoding": "base64",
            "pattern": _BASE64,
            "description": "The file's bytes; line ends and missing padding are accepted.",
        },
        "timestamp": {"type": "string", "pattern": _ONE_LINE, "description": "Sent back byte for byte."},
        "type": {"type": "string", "description": "The media type, such as image/jpeg."},
        "size": {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 2, "maxItems": 2},
    },
}
_UP: Json = {
    "type": "object",
    "required": ["status"],
    "properties": {
        "status": {"const": "ok"},
        "proof": {"type": "string", "description": "Answers an announced nonce."},
    },
    "additionalProperties": False,
}
_RECEIPT: Json = {
    "type": "object",
    "description": "ok: the body was empty or blank, which is a probe; there is no id then.",
    "required": ["status"],
    "properties": {"status": {"enum": ["queued", "duplicate", "ok"]}, "id": _TEXT},
    "additionalProperties": False,
}
_ERROR: Json = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "description": "code is for programs; field names the member of the event or the parameter.",
            "required": ["code", "message", "field"],
            "properties": {"code": _TEXT, "message": _TEXT, "field": {"type": ["string", "null"]}},
            "additionalProperties": False,
        }
    },
    "additionalProperties": False,
}


def describe(version: str) -> Json:
    """Return the description as JSON values; `version` is this program's."""
    _, page = msgspec.json.schema_components((views.Page,), ref_template="#/components/schemas/{name}")
    listing = _operation("listTasks", "List the pending tasks, oldest first.", "Page", OF_A_PAGE)
    listing["parameters"] = [_LIMIT, _AFTER]
    own = {"Event": _EVENT, "Image": _IMAGE, "Up": _UP, "Receipt": _RECEIPT, "Error": _ERROR}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "camiohookd",
            "version": version,
            "summary": "Receives events from Camio.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "https://{address}", "variables": {"address": {"default": "hook.example.org"}}}],
        "paths": {
            "/": _status("root"),
            "/tasks": _status("tasksBare"),
            "/tasks/": _status("tasks"),
            "/tasks/{api_key}": {
                "parameters": [_KEY, _FORWARDED],
                "get": listing,
                "head": _without_bodies("listTasksHead", listing) | {"parameters": [_LIMIT, _AFTER]},
                "post": _operation(
                    "postEvent", "Post an event; 200 once it is on stable storage.", "Receipt", OF_AN_EVENT
                )
                | {"parameters": [_ENCODING], "requestBody": _json("Event") | {"required": False}},
            },
        },
        "components": {"schemas": own | page},
    }


def _status(name: str) -> Json:
    get = _operation(f"{name}Status", "Check that the service is up; needs no key.", "Up", OF_THE_STATUS)
    return {"parameters": [_FORWARDED, _NONCE], "get": get, "head": _without_bodies(f"{name}Head", get)}


def _without_bodies(name: str, get: Json) -> Json:
    responses = {status: {"description": each["description"]} for status, each in get["responses"].items()}
    return {"operationId": name, "summary": "The same without a body.", "responses": responses}


def _operation(name: str, summary: str, result: str, refusals: Iterable[ErrorResponse]) -> Json:
    responses = {"200": {"description": HTTPStatus(200).phrase} | _json(result)}
    for status in sorted({each.status for each in refusals}):
        responses[str(status)] = _refusal([each for each in refusals if each.status == status])
    return {"operationId": name, "summary": summary, "responses": responses}


def _refusal(same_status: list[ErrorResponse]) -> Json:
    """Return the response of one status, with each of its `ErrorResponse`s as an example."""
    examples = {
        f"{each.code}-{number}": {"summary": each.message, "value": msgspec.json.decode(each.body())}
        for number, each in enumerate(same_status, 1)
    }
    response: Json = {"description": HTTPStatus(same_status[0].status).phrase} | _json("Error", examples)
    if any(each.retry_after is not None for each in same_status):
        response["headers"] = {
            "Retry-After": {"required": True, "schema": {"type": "integer"}, "description": "Seconds."}
        }
    return response


def _json(schema: str, examples: Json | None = None) -> Json:
    media: Json = {"schema": {"$ref": f"#/components/schemas/{schema}"}}
    return {"content": {"application/json": media | ({"examples": examples} if examples else {})}}
