"""Access tokens with `auth:admin`, as a browser sign-in with a second factor leads to."""

from datetime import timedelta

from django.conf import settings

from accounts import clock
from oauth import access_tokens, keys, sessions
from oauth.session_rows import Origin

TWO_FACTORS = "pwd otp mfa"


def token_of(user, *, client, scope="auth:admin", amr=TWO_FACTORS, ago=timedelta(0)):
    """The user signed in through this client, so long ago, and this is the token they got just now."""
    now = clock.now()
    issued, row = sessions.new(
        user, role_names=(), client=client, scope=scope, amr=amr, origin=Origin("192.0.2.1", "Console/1"), auth_time=now - ago
    )
    row.execute()
    return access_tokens.mint(
        signer=keys.ring.signer(client.access_lifetime),
        issuer=settings.JWT_ISSUER,
        audience=client.token_audience,
        subject=str(user.pk),
        client_id=client.client_id,
        scope=scope,
        lifetime=client.access_lifetime,
        now=now,
        session=issued.claims,
    )
