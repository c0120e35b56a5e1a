"""The wire: parameters exactly once, refusals as JSON with an error_id, and nothing of it kept in a cache."""

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from typing import Any
from urllib.parse import unquote_to_bytes, urlencode

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import InterfaceError, InternalError, OperationalError, connection
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from gunicorn.http.errors import ParseException

from accounts import metrics, refusals
from accounts.actors import user_agent
from oauth.errors import BodyTooLarge, InvalidGrant, InvalidRequest, InvalidToken, MethodNotAllowed, OAuthError, TemporarilyUnavailable
from oauth.models import GRANT_TYPE_CHOICES

MAX_BODY_BYTES = 64 * 1024
MAX_FIELDS = 100
FORM_TYPE = "application/x-www-form-urlencoded"
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}

# The database is away, restarting, read-only or too slow: nothing that the client did.
STORE_DOWN = (OperationalError, InterfaceError, InternalError)

# What the standards name; anything else that is sent is only counted: a secret may have slipped into a parameter's name.
_KNOWN_PARAMETERS = frozenset(
    {
        "grant_type",
        "username",
        "password",
        "scope",
        "client_id",
        "client_secret",
        "refresh_token",
        "code",
        "code_verifier",
        "redirect_uri",
        "device_code",
        "token",
        "token_type_hint",
        "resource",
        "response_type",
        "response_mode",
        "state",
        "nonce",
        "code_challenge",
        "code_challenge_method",
        "prompt",
        "max_age",
        "login_hint",
        "acr_values",
        "ui_locales",
        "claims",
        "id_token_hint",
        "post_logout_redirect_uri",
    }
)
_as_json = DjangoJSONEncoder(separators=(",", ":")).encode
_SHAPE, _CLIENT_ID = "authserver.shape", "authserver.client_id"
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f]")

logger = logging.getLogger("authserver.refusals")

View = Callable[..., HttpResponse]


class Form:
    """The parameters of an x-www-form-urlencoded body, each at most once (RFC 6749 §3.2)."""

    def __init__(self, fields: dict[str, str]) -> None:
        self._fields = fields

    @classmethod
    def parse(cls, request: HttpRequest) -> "Form":
        """Raises InvalidRequest or BodyTooLarge."""
        if request.META.get("QUERY_STRING"):
            raise InvalidRequest("Parameters belong in the body; the query string is written to logs.")
        _ensure_form_type(request.META.get("CONTENT_TYPE", ""))
        return cls(_parse_fields(read_body(request)))

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __getitem__(self, name: str) -> str:
        """Raises InvalidRequest when the parameter is missing or empty."""
        value = self._fields.get(name)
        if not value:
            raise InvalidRequest(f"The parameter {name} is missing or empty.")
        return value

    def optional(self, name: str) -> str:
        """The empty string when the parameter is missing: an empty one counts as absent."""
        return self._fields.get(name, "")


def respond(body: dict[str, Any], *, status: int = 200, headers: dict[str, str] | None = None) -> HttpResponse:
    return HttpResponse(_as_json(body), content_type="application/json", status=status, headers=NO_STORE | (headers or {}))


def note_shape(request: HttpRequest, form: Form) -> None:
    """From here on a refusal of this request is stored, with which parameters came and how, and none of their values."""
    authorization = request.META.get("HTTP_AUTHORIZATION")
    request.META[_SHAPE] = {
        "path": request.path,
        "grant_type": form.optional("grant_type") if form.optional("grant_type") in GRANT_TYPE_CHOICES else "",
        **names_in_shape(form),
        "client_authentication": "none" if authorization is None else "header",
        "idempotency_key": "HTTP_IDEMPOTENCY_KEY" in request.META,
    }


def names_in_shape(names: Iterable[str]) -> dict[str, Any]:
    """Which parameters were sent, of those that a standard names; of the others how many."""
    sent = set(names)
    return {"parameters": sorted(sent & _KNOWN_PARAMETERS), "unknown_parameters": len(sent - _KNOWN_PARAMETERS)}


def note_client(request: HttpRequest, client_id: str) -> None:
    request.META[_CLIENT_ID] = client_id


def noted_grant_type(request: HttpRequest) -> str:
    """One of GRANT_TYPE_CHOICES, or empty."""
    return noted_in(request.META)[1]


def noted_client(request: HttpRequest) -> str:
    """The client_id of the client that was authenticated, or empty."""
    return noted_in(request.META)[0]


def noted_in(environ: Mapping[str, Any]) -> tuple[str, str]:
    """The same two of a request that was answered: its client_id, and its grant type."""
    return environ.get(_CLIENT_ID, ""), environ.get(_SHAPE, {}).get("grant_type", "")


def render(error: OAuthError, *, request: HttpRequest | None = None) -> HttpResponse:
    """The answer to a refusal. Its true reason goes to the log, and from client authentication on into the store, under its `error_id`."""
    error_id = error.error_id
    status = settings.INVALID_GRANT_STATUS if isinstance(error, InvalidGrant) else error.status
    logger.log(
        logging.WARNING if status >= 500 else logging.INFO,
        "refused",
        extra={"error": error.error, "reason": error.reason, "status": status, "error_id": error_id},
    )
    if request is not None and _SHAPE in request.META and error.is_stored:
        _store(error, request=request, status=status, error_id=error_id)
    body = {"error": error.error, "error_description": error.description, "error_id": error_id, **error.fields}
    return respond(body, status=status, headers=headers_of(error))


def headers_of(error: OAuthError) -> dict[str, str]:
    """What a refusal's answer carries; who is turned away for want of a token learns where tokens come from (RFC 9728 §5.1)."""
    if not isinstance(error, InvalidToken):
        return error.headers
    told = f"{settings.JWT_ISSUER.rstrip('/')}/.well-known/oauth-protected-resource"
    return error.headers | {"WWW-Authenticate": f'{error.challenge}, resource_metadata="{told}"'}


def store_down(error: Exception) -> TemporarilyUnavailable:
    """The refusal for a request that the database failed. The connection is given up: the next request may find a better server."""
    metrics.STORE_ERRORS.labels(metrics.DATABASE).inc()
    if not connection.in_atomic_block:
        connection.close()
    return TemporarilyUnavailable(f"store: {type(error).__name__}")


def renders_oauth_errors(view: View) -> View:
    """For an endpoint of machines: whatever it refuses becomes JSON; whatever else it raises is a bug and a 500."""

    @csrf_exempt  # SECURITY: authenticated by client credentials or tokens, never by a cookie.
    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except OAuthError as error:
            return render(error, request=request)
        except STORE_DOWN as error:
            return render(store_down(error))

    return wrapped


def only(*methods: str) -> Callable[[View], View]:
    """Refuse every other method. Stands below `renders_oauth_errors`, so that the 405 is JSON too."""

    def decorate(view: View) -> View:
        @wraps(view)
        def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if request.method not in methods:
                allow = ", ".join(methods)
                raise MethodNotAllowed(f"Use {allow}.", headers={"Allow": allow})
            return view(request, *args, **kwargs)

        return wrapped

    return decorate


def _store(error: OAuthError, *, request: HttpRequest, status: int, error_id: str) -> None:
    refusals.record(
        error_id,
        status=status,
        error=error.error,
        reason=error.reason,
        client_id=error.client_id or request.META.get(_CLIENT_ID, ""),
        user_id=error.user_id,
        address=request.META["authserver.address"],
        user_agent=user_agent(request),
        shape=request.META[_SHAPE],
    )


def _ensure_form_type(content_type: str) -> None:
    main, *parameters = (part.strip().lower() for part in content_type.split(";"))
    charsets = {value.strip('" ') for name, _, value in (part.partition("=") for part in parameters) if name.strip() == "charset"}
    if main != FORM_TYPE or not charsets <= {"utf-8", "utf8"}:
        raise InvalidRequest(f"Content-Type must be {FORM_TYPE}, in UTF-8.")


def read_body(request: HttpRequest) -> bytes:
    """All of it, chunked or not. Raises InvalidRequest, BodyTooLarge."""
    try:
        length = int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        raise InvalidRequest("Content-Length is not a number.") from None
    if length > MAX_BODY_BYTES:
        raise BodyTooLarge(f"The body has more than {MAX_BODY_BYTES} bytes.")
    is_chunked = bool(request.META.get("HTTP_TRANSFER_ENCODING"))
    try:
        # Django reads no body without a Content-Length; of a chunked one the server has undone the chunks.
        body: bytes = request.META["wsgi.input"].read(MAX_BODY_BYTES + 1) if is_chunked else request.read(length)
    except (OSError, ParseException):  # of the connection, of gunicorn's reader of chunks
        raise InvalidRequest("The body ended early, or its chunks are malformed.") from None
    if not is_chunked and len(body) < length:
        # SECURITY: half a request spends no token (RFC 9112 §8): the client cannot know that it was answered.
        raise InvalidRequest("The body ended early.")
    if len(body) > MAX_BODY_BYTES:
        raise BodyTooLarge(f"The body has more than {MAX_BODY_BYTES} bytes.")
    return body


def _parse_fields(body: bytes) -> dict[str, str]:
    pairs = parse_pairs(body)
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise InvalidRequest("A parameter is repeated.")
    return fields


def parse_pairs(encoded: bytes) -> list[tuple[str, str]]:
    """Names and values of an x-www-form-urlencoded text, in their order. Raises InvalidRequest."""
    pairs = encoded.split(b"&") if encoded else []
    if len(pairs) > MAX_FIELDS:
        raise InvalidRequest(f"There are more than {MAX_FIELDS} parameters.")
    found = []
    for pair in pairs:
        if pair:
            name, _, value = pair.partition(b"=")
            found.append((_decode(name), _decode(value)))
    return found


def parse_query(query: str) -> list[tuple[str, str]]:
    """The pairs of a query string as the server hands it on. Raises InvalidRequest."""
    return parse_pairs(query.encode("latin-1", "replace"))


def form_as_query(request: HttpRequest) -> str:
    """What was posted, as a query string: for an endpoint of pages that answers a POST as it would a GET. Raises InvalidRequest."""
    form = Form.parse(request)
    return urlencode({name: form.optional(name) for name in form})


def policy_with_form_action(source: str) -> str:
    """The Content-Security-Policy of a page whose form ends at an app: browsers look at this when they follow the answer."""
    return str(settings.CONTENT_SECURITY_POLICY).replace("form-action 'self'", f"form-action 'self' {source}")


def _decode(part: bytes) -> str:
    try:
        text = part.decode()
        value = unquote_to_bytes(text.replace("+", " ")).decode()
    except UnicodeDecodeError:
        raise InvalidRequest("A parameter is not UTF-8.") from None
    if _BAD_ESCAPE.search(text):
        raise InvalidRequest("A parameter holds a % that escapes nothing.")
    # SECURITY: PostgreSQL refuses NUL, logs and terminals obey the others.
    if _CONTROL_CHARACTER.search(value):
        raise InvalidRequest("A parameter holds control characters.")
    return value
