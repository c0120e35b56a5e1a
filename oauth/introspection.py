"""Token introspection: whether a token is active right now, told to the services that it is meant for (RFC 7662)."""

import logging
from datetime import datetime
from typing import Any

from django.conf import settings

from accounts.reconnect import with_reconnect
from oauth import live_tokens, presented_tokens, refresh_tokens, scopes
from oauth.errors import InvalidToken, UnauthorizedClient
from oauth.models import REFRESH_TOKEN, Client, Session
from oauth.refresh_tokens import RefreshToken

_OF_AN_ACCESS_TOKEN = ("aud", "exp", "iat", "nbf", "jti")

logger = logging.getLogger(__name__)


def ensure_may_introspect(client: Client) -> None:
    # SECURITY: or whoever has any client's secret tries out the tokens that he has found (RFC 7662 §2.1).
    if not client.may_introspect:
        raise UnauthorizedClient("may not introspect")


def introspect(value: str, *, caller: Client, now: datetime) -> dict[str, Any]:
    """What the caller may know of a token (RFC 7662 §2.2). Of one that is not active, for whatever reason, that alone.

    The kind of a token shows in its form, so no hint is needed. Nothing is written: asking about a spent refresh token is no reuse.
    """
    try:
        return {"active": True, "iss": settings.JWT_ISSUER} | _members(value, caller=caller, now=now)
    except InvalidToken as refusal:
        logger.debug("a token is not active", extra={"reason": refusal.reason, "caller": caller.client_id})
        return {"active": False}


def _members(value: str, *, caller: Client, now: datetime) -> dict[str, Any]:
    try:
        token = presented_tokens.read(value)
    except refresh_tokens.Malformed:
        return _of_access_token(value, caller=caller, now=now)
    return _of_refresh_token(token, caller=caller)


def _of_access_token(value: str, *, caller: Client, now: datetime) -> dict[str, Any]:
    claims = live_tokens.verify(value, audience=None, now=now)
    # SECURITY: a service learns of the tokens that are meant for it, and a client of its own (RFC 7662 §4).
    if claims["aud"] not in caller.served_audience_set and claims["client_id"] != caller.client_id:
        raise InvalidToken("meant for an audience that the caller does not serve")
    user = live_tokens.get_user(claims)
    members = {"sub": claims["sub"], "client_id": claims["client_id"]}
    if user is not None:
        members["username"] = user.username
    members |= {"scope": claims["scope"]} | {name: claims[name] for name in _OF_AN_ACCESS_TOKEN}
    if user is not None:
        members["sid"] = claims["sid"]
    return members | {"token_type": "Bearer"}


def _of_refresh_token(token: RefreshToken, *, caller: Client) -> dict[str, Any]:
    if not caller.allows_grant_type(REFRESH_TOKEN):
        raise InvalidToken("the caller may not refresh")
    # SECURITY: a refresh token is nobody's business but its own client's, and of its session only the newest one is alive.
    live = Session.objects.live().select_related("user").filter(pk=token.session_id, client=caller, generation=token.generation)
    session = with_reconnect(live.first)
    if session is None:
        raise InvalidToken("refresh token of another client, spent, or of a session that has ended")
    return {
        "sub": str(session.user_id),
        "client_id": caller.client_id,
        "username": session.user.username,
        "scope": scopes.format(scopes.parse(session.scope) & caller.allowed_scope_set),
        "exp": int(session.expires_at.timestamp()),
        "iat": int(session.refreshed_at.timestamp()),
        "sid": str(session.pk),
    }
