"""Bearer tokens at our own JSON API: whose they are, what they may do, and refusals (RFC 6750)."""

from typing import TYPE_CHECKING, Any, cast

from django.conf import settings
from django.http import Http404, HttpResponse
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.settings import api_settings

from accounts import clock, epochs, hash_slots, one_time_tokens, passwords, throttling
from accounts.models import User
from oauth import ceilings, http, live_tokens
from oauth.errors import (
    BEARER,
    InsufficientScope,
    InvalidCode,
    InvalidRequest,
    InvalidToken,
    MethodNotAllowed,
    NoAccessToken,
    NotFound,
    OAuthError,
    PasswordPolicy,
    TemporarilyUnavailable,
)

if TYPE_CHECKING:
    from rest_framework.views import APIView  # at run time REST framework imports this module while it makes its views


class BearerAuthentication(BaseAuthentication):
    """`request.user` is the token's user, `request.auth` its claims. The session is asked for: it may have ended since."""

    def authenticate(self, request: Request) -> tuple[User, dict[str, Any]] | None:
        value = live_tokens.find_value(request._request)
        if value is None:
            return None
        claims = live_tokens.verify(value, audience=settings.JWT_AUDIENCE, now=clock.now())
        http.note_client(request._request, claims["client_id"])
        user = live_tokens.get_user(claims) if "sid" in claims else None
        if user is None:
            raise InsufficientScope("client's own token", headers={"WWW-Authenticate": f'{BEARER}, error="insufficient_scope"'})
        return user, claims

    def authenticate_header(self, request: Request) -> str:
        return BEARER


class JSONAlone(DefaultContentNegotiation):
    """There is nothing but JSON, so what a client says that it accepts chooses nothing."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


class HasScope(BasePermission):
    """The token has the view's `required_scope`, or that of its `required_scopes` for the method; a view without one refuses everybody."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        if request.auth is None:
            return False
        if request.method not in view.allowed_methods or request.method == "OPTIONS":
            raise exceptions.MethodNotAllowed(request.method or "")
        required = _required_scope(request, view)
        # SECURITY: a view that says nothing is a mistake, and opens to nobody.
        if required is None or required not in claims_of(request)["scope"].split():
            named = "" if required is None else f', scope="{required}"'
            raise InsufficientScope(
                "scope of the access token", headers={"WWW-Authenticate": f'{BEARER}, error="insufficient_scope"{named}'}
            )
        return True


def _required_scope(request: Request, view: "APIView") -> str | None:
    by_method: dict[str, str] = getattr(view, "required_scopes", {})
    method = "GET" if request.method == "HEAD" else request.method or ""
    return by_method.get(method) or getattr(view, "required_scope", None)


def render_exception(error: Exception, context: dict[str, Any]) -> HttpResponse | None:
    """Every refusal of the API in the shape of the token endpoint's. None lets a bug through, to become a 500."""
    refusal = _as_refusal(error)
    return None if refusal is None else http.render(refusal)


def _as_refusal(error: Exception) -> OAuthError | None:
    match error:
        case OAuthError():
            return error
        case passwords.Refused():
            return PasswordPolicy(reasons=error.reasons)
        case one_time_tokens.InvalidCode():
            return InvalidCode(error.reason)
        case epochs.Stale():
            return InvalidToken("user disabled or signed out meanwhile")
        case throttling.Throttled():
            return ceilings.as_refusal(error)
        case hash_slots.Full():
            return TemporarilyUnavailable("no slot for a password hash")
        case exceptions.NotAuthenticated():
            return NoAccessToken("no access token")
        case exceptions.MethodNotAllowed():
            return MethodNotAllowed("This method is not allowed here.")
        case exceptions.NotFound() | Http404():
            return NotFound("There is nothing here.")
        case exceptions.UnsupportedMediaType():
            return InvalidRequest("Content-Type must be application/json.")
        case exceptions.ValidationError():
            return InvalidRequest(_sentences(error.detail))
        case exceptions.APIException() if error.status_code < 500:
            return InvalidRequest(str(error.detail))
        case _ if isinstance(error, http.STORE_DOWN):
            return http.store_down(error)
        case _:
            return None


def _sentences(detail: Any) -> str:
    """What is wrong with which member of a body. None of these texts quotes a value."""
    if not isinstance(detail, dict):
        return " ".join(map(str, detail))
    named = {name: " ".join(map(str, texts)) for name, texts in detail.items()}
    return " ".join(text if name == api_settings.NON_FIELD_ERRORS_KEY else f"{name}: {text}" for name, text in named.items())


def claims_of(request: Request) -> dict[str, Any]:
    """The claims of the token that came with this request."""
    return cast(dict[str, Any], request.auth)  # set by BearerAuthentication
