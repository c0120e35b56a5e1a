"""A refresh token as a client presents it: one of ours, or one of the older service's that an import brought."""

from django.conf import settings

from oauth import keys, refresh_tokens
from oauth.older_service import refresh_tokens as older_refresh_tokens
from oauth.refresh_tokens import RefreshToken


def read(value: str) -> RefreshToken:
    """Raises refresh_tokens.Malformed."""
    if older_refresh_tokens.looks_like_one(value) and (imported := keys.ring.view().imported_keys):
        return older_refresh_tokens.decode(value, keys=imported, issuer=settings.JWT_ISSUER, audience=settings.JWT_AUDIENCE)
    return refresh_tokens.decode(value, keys=settings.TOKEN_KEYS)
