"""Bearer tokens at our own JSON API: whose they are, what they may do, and refusals (RFC 6750)."""

from typing import TYPE_CHECKING, Any, cast

from django.conf import settings
from django.http import Http404, JsonResponse
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts import clock
from accounts.models import User
from accounts.reconnect import with_reconnect
from oauth import access_tokens, http, keys
from oauth.errors import InsufficientScope, InvalidRequest, InvalidToken, MethodNotAllowed, NotFound, OAuthError
from oauth.models import Session

if TYPE_CHECKING:
    from rest_framework.views import APIView  # at run time REST framework imports this module while it makes its views

_REALM = 'Bearer realm="authserver"'


class BearerAuthentication(BaseAuthentication):
    """`request.user` is the token's user, `request.auth` its claims. The session is asked for: it may have ended since."""

    def authenticate(self, request: Request) -> tuple[User, dict[str, Any]] | None:
        authorization = request.META.get("HTTP_AUTHORIZATION")
        if "access_token" in request.query_params:
            raise InvalidRequest(
                "Send the access token in the Authorization header; the query string is written to logs.",
                headers={"WWW-Authenticate": f'{_REALM}, error="invalid_request"'},
            )
        if authorization is None:
            return None
        scheme, _, value = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return None
        claims = verify(value.strip())
        return _live_user(claims), claims

    def authenticate_header(self, request: Request) -> str:
        return _REALM


class JSONAlone(DefaultContentNegotiation):
    """There is nothing but JSON, so what a client says that it accepts chooses nothing."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


class HasScope(BasePermission):
    """The token has the view's `required_scope`; a view without one is a mistake and refuses everybody."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        if request.auth is None:
            return False
        required = getattr(view, "required_scope", None)
        if required is None or required not in claims_of(request)["scope"].split():
            raise InsufficientScope(
                "scope of the access token", headers={"WWW-Authenticate": f'{_REALM}, error="insufficient_scope", scope="{required}"'}
            )
        return True


def verify(value: str) -> dict[str, Any]:
    """The claims of an access token of this server. Raises InvalidToken."""
    return access_tokens.verify(
        value,
        public_keys=keys.ring.view().public_keys,
        algorithm=keys.ALGORITHM,
        issuer=settings.JWT_ISSUER,
        audience=settings.JWT_AUDIENCE,
        leeway=settings.CLOCK_SKEW,
        now=clock.now(),
    )


def render_exception(error: Exception, context: dict[str, Any]) -> JsonResponse | None:
    """Every refusal of the API in the shape of the token endpoint's. None lets a bug through, to become a 500."""
    refusal = _as_refusal(error)
    return None if refusal is None else http.render(refusal)


def _as_refusal(error: Exception) -> OAuthError | None:
    match error:
        case InvalidToken():
            return InvalidToken(error.reason, headers={"WWW-Authenticate": f'{_REALM}, error="invalid_token"'})
        case OAuthError():
            return error
        case exceptions.NotAuthenticated():
            # RFC 6750 §3.1: who sent no token is told how, and given no error code in the header.
            return InvalidToken("no access token", headers={"WWW-Authenticate": _REALM})
        case exceptions.MethodNotAllowed():
            return MethodNotAllowed("This method is not allowed here.")
        case exceptions.NotFound() | Http404():
            return NotFound("There is nothing here.")
        case exceptions.APIException() if error.status_code < 500:
            return InvalidRequest(str(error.detail))
        case _ if isinstance(error, http.STORE_DOWN):
            return http.store_down(error)
        case _:
            return None


def _live_user(claims: dict[str, Any]) -> User:
    if "sid" not in claims:
        raise InsufficientScope("client's own token", headers={"WWW-Authenticate": f'{_REALM}, error="insufficient_scope"'})
    live = Session.objects.live().select_related("user").filter(pk=claims["sid"], user_id=claims["sub"])
    session = with_reconnect(live.first)
    if session is None:
        raise InvalidToken("session ended")
    user: User = session.user
    return user


def claims_of(request: Request) -> dict[str, Any]:
    """The claims of the token that came with this request."""
    return cast(dict[str, Any], request.auth)  # set by BearerAuthentication
