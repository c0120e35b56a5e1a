"""What every description in the OpenAPI document is made of: objects, answers and refusals."""

import re
from collections.abc import Sequence
from typing import Any

from django.conf import settings

from oauth.errors import AccountLocked, InvalidGrant, OAuthError, RateLimitExceeded, TemporarilyUnavailable
from oauth.http import headers_of

JSON = "application/json"
REFUSAL = {"$ref": "#/components/schemas/Refusal"}
Part = dict[str, Any]

# Refusals of several endpoints, as their examples have them.
LOCKED = AccountLocked(retry_after=900, locked_until="2026-01-31T12:15:00Z")
THROTTLED = RateLimitExceeded(retry_after=30)
UNAVAILABLE = TemporarilyUnavailable("", retry_after=2)

_ERROR_ID = "eff7e2456e1a5515"
_SERVER_ERROR = {"error": "server_error", "error_description": "The server failed. Tell its operator the error_id.", "error_id": _ERROR_ID}
_HEADERS: dict[str, Part] = {
    "Allow": {"description": "The methods that are allowed here.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds to wait before the next attempt.", "schema": {"type": "integer", "minimum": 0}},
    "WWW-Authenticate": {"description": "How to authenticate (RFC 6749 §5.2, RFC 6750 §3).", "schema": {"type": "string"}},
}


def text(description: str, **more: Any) -> Part:
    return {"type": "string", "description": description, **more}


def number(description: str, **more: Any) -> Part:
    return {"type": "integer", "description": description, **more}


def words(description: str, **more: Any) -> Part:
    return {"type": "array", "items": {"type": "string"}, "description": description, **more}


def record(description: str, members: Part, *, optional: Sequence[str] = ()) -> Part:
    """An object with these members, all of them required but the optional ones."""
    return {
        "type": "object",
        "description": description,
        "required": [name for name in members if name not in optional],
        "properties": members,
    }


def ref(name: str) -> Part:
    return {"$ref": f"#/components/schemas/{name}"}


def body(schema: Part, examples: Part, *, media_type: str = JSON) -> Part:
    """What a request or an answer carries, with an example of each kind."""
    return {media_type: {"schema": schema, "examples": {name: {"value": value} for name, value in examples.items()}}}


def answer(description: str, schema: Part, **examples: Part) -> Part:
    return {"description": description, "content": body(schema, examples)}


def refusals(*errors: OAuthError) -> dict[str, Part]:
    """The answers to these refusals by status, each code with an example. Every endpoint may have a bug, so 500 is among them."""
    by_status: dict[int, list[OAuthError]] = {}
    for error in errors:
        status = settings.INVALID_GRANT_STATUS if isinstance(error, InvalidGrant) else error.status
        by_status.setdefault(status, []).append(error)
    described = {str(status): _refused(by_status[status]) for status in sorted(by_status)}
    return described | {"500": _as_response({"server_error": _SERVER_ERROR}, {})}


def refusal_schema() -> Part:
    members = {
        "error": text("What programs decide by, together with the status."),
        "error_description": text("For developers; it may change."),
        "error_id": text("The operator finds the true reason under it.", pattern="^[0-9a-f]{16}$"),
        "retry_after": number("Seconds, as in Retry-After.", minimum=0),
        "locked_until": text("With `account_locked` alone.", format="date-time"),
        "reasons": words("With `password_policy` alone: what to do better, for the person who chose the password."),
    }
    return record("A refusal.", members, optional=("retry_after", "locked_until", "reasons"))


def _refused(errors: list[OAuthError]) -> Part:
    return _as_response({_name(error): _as_body(error) for error in errors}, _headers(errors))


def _as_response(examples: dict[str, dict[str, Any]], headers: dict[str, Part]) -> Part:
    codes = list(dict.fromkeys(example["error"] for example in examples.values()))
    sentences = dict.fromkeys(f"- `{example['error']}`: {example['error_description']}" for example in examples.values())
    schema = {"allOf": [REFUSAL, {"type": "object", "properties": {"error": {"enum": codes}}}]}
    response = answer("\n".join(sentences), schema, **examples)
    return response | {"headers": headers} if headers else response


def _as_body(error: OAuthError) -> dict[str, Any]:
    return {"error": error.error, "error_description": error.description, "error_id": _ERROR_ID, **error.fields}


def _headers(errors: list[OAuthError]) -> dict[str, Part]:
    headers: dict[str, Part] = {}
    for error in errors:
        for name, value in headers_of(error).items():
            header = headers.setdefault(name, _HEADERS[name] | {"examples": {}})
            header["examples"][_name(error)] = {"value": int(value) if value.isdecimal() else value}
    return headers


def _name(error: OAuthError) -> str:
    """InvalidToken is invalid_token: finer than its code, of which there may be several kinds."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(error).__name__).lower()
