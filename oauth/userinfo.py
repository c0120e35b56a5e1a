"""What an app may know of its user beside the id (OpenID Connect Core 1.0 §5.3, §5.4)."""

from datetime import datetime
from typing import Any

from accounts.models import User
from oauth import live_tokens, scopes
from oauth.errors import BEARER, InsufficientScope

# `email_verified` is missing on purpose: of an address that staff typed or imported nobody here knows.
CLAIMS = {"profile": ("name", "preferred_username"), "email": ("email",), "roles": ("roles",)}


def read(value: str, *, now: datetime) -> tuple[dict[str, Any], dict[str, Any]]:
    """The claims of the access token, and what its scope lets the app know. Raises InvalidToken, InsufficientScope."""
    # Whatever its audience: a token that is meant for another service still is of this sign-in.
    claims = live_tokens.verify(value, audience=None, now=now)
    granted = scopes.parse(claims["scope"])
    user = live_tokens.get_user(claims)
    # SECURITY: who did not sign in by OpenID Connect has allowed nobody to know who they are.
    if user is None or scopes.OPENID not in granted:
        raise InsufficientScope(
            "no openid sign-in",
            headers={"WWW-Authenticate": f'{BEARER}, error="insufficient_scope", scope="openid"'},
            client_id=claims["client_id"],
        )
    return claims, _told(user, granted)


def _told(user: User, granted: frozenset[str]) -> dict[str, Any]:
    told: dict[str, Any] = {"sub": str(user.pk)}
    if "profile" in granted:
        told |= {"name": user.name or user.username, "preferred_username": user.username}
    if "email" in granted and user.email:
        told["email"] = user.email
    if "roles" in granted:
        told["roles"] = [role.name for role in user.roles.order_by("name")]
    return told
