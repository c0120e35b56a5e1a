"""Access tokens at our own doors: from the header alone, verified with our own keys, and alive at this moment (RFC 6750, RFC 9068 §4)."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.http import HttpRequest

from accounts.models import User
from accounts.reconnect import with_reconnect
from oauth import access_tokens, keys
from oauth.errors import BEARER, InvalidRequest, InvalidToken
from oauth.models import Client, Session


def find_value(request: HttpRequest) -> str | None:
    """The token that a request carries; None when it carries none. Raises InvalidRequest for one in the query string (RFC 6750 §2.3)."""
    if "access_token" in request.GET:
        raise InvalidRequest(
            "Send the access token in the Authorization header; the query string is written to logs.",
            headers={"WWW-Authenticate": f'{BEARER}, error="invalid_request"'},
        )
    scheme, _, value = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else None


def verify(value: str, *, audience: str | None, now: datetime) -> dict[str, Any]:
    """The claims of an access token of this server; `audience` as for `access_tokens.verify`. Raises InvalidToken."""
    return access_tokens.verify(
        value,
        keys=keys.ring.view().verification_keys,
        issuer=settings.JWT_ISSUER,
        audience=audience,
        leeway=settings.CLOCK_SKEW,
        now=now,
    )


def get_user(claims: Mapping[str, Any]) -> User | None:
    """Whose token it is, asked in one statement; None for a client's own.

    Raises InvalidToken when what stands behind it has ended: the session, its user or its client.
    """
    session_id = session_id_of(claims)
    if session_id is None:
        _ensure_client_is_live(claims)
        return None
    user_id = _uuid(claims["sub"])
    live = Session.objects.live().select_related("user").filter(pk=session_id, user_id=user_id)
    session = with_reconnect(live.first)
    if session is None:
        raise InvalidToken("session ended", client_id=claims["client_id"], user_id=user_id)
    user: User = session.user
    return user


def session_id_of(claims: Mapping[str, Any]) -> uuid.UUID | None:
    """The session that the token was made for; None for a client's own. Raises InvalidToken."""
    return _uuid(claims["sid"]) if "sid" in claims else None


def _ensure_client_is_live(claims: Mapping[str, Any]) -> None:
    client_id = claims["client_id"]
    # SECURITY: a client's own token is its own alone, whoever made it say otherwise.
    if claims["sub"] != client_id:
        raise InvalidToken("neither a user's token nor a client's own")
    if not with_reconnect(Client.objects.filter(client_id=client_id, is_active=True).exists):
        raise InvalidToken("client disabled", client_id=client_id)


def _uuid(value: Any) -> uuid.UUID:
    try:
        return uuid.UUID(value)
    except (TypeError, ValueError, AttributeError):  # only our own key can sign such a thing
        raise InvalidToken("sid or sub is no UUID") from None
