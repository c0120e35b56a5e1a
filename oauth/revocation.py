"""Token revocation: a client that is done with a token ends the session behind it (RFC 7009)."""

import logging
import uuid
from datetime import datetime

from django.db import transaction

from accounts import audit
from accounts.reconnect import with_reconnect
from oauth import foreign_tokens, live_tokens, presented_tokens, refresh_tokens, sessions
from oauth.errors import InvalidToken
from oauth.models import Client, Session
from oauth.refresh_tokens import RefreshToken
from oauth.session_rows import Origin

logger = logging.getLogger(__name__)


def revoke(value: str, *, client: Client, origin: Origin, now: datetime) -> None:
    """End the session of a token of this client's; whatever else the token may be, nothing happens (RFC 7009 §2.2).

    The kind of a token shows in its form, so no hint is needed. A refresh token may be of any generation: its tag proves that we issued it.
    """
    try:
        token = presented_tokens.read(value)
    except refresh_tokens.Malformed:
        _revoke_by_access_token(value, client=client, origin=origin, now=now)
    else:
        _revoke_by_refresh_token(token, client=client, origin=origin)


def _revoke_by_refresh_token(token: RefreshToken, *, client: Client, origin: Origin) -> None:
    if _end(token.session_id, client=client, origin=origin):
        return
    others = Session.objects.filter(pk=token.session_id).exclude(client=client).values_list("user_id", flat=True)
    owner_id = with_reconnect(others.first)
    if owner_id is not None:
        foreign_tokens.record(
            token.session_id, owner_id=owner_id, client=client, origin=origin, door="revocation", generation=token.generation
        )


def _revoke_by_access_token(value: str, *, client: Client, origin: Origin, now: datetime) -> None:
    # SECURITY: an access token is shown to every service it is for, and anyone can name a public client.
    if client.is_public:
        return
    try:
        session_id = live_tokens.session_id_of(live_tokens.verify(value, audience=None, now=now))
    except InvalidToken as refusal:
        logger.debug("nothing to revoke", extra={"reason": refusal.reason, "client_id": client.client_id})
        return
    if session_id is not None:
        _end(session_id, client=client, origin=origin)


def _end(session_id: uuid.UUID, *, client: Client, origin: Origin) -> bool:
    """End this client's session and record it, in one transaction: True when this call did it."""
    with transaction.atomic():
        ended = sessions.revoke(session_id, reason="revoked_by_client", client=client)
        if ended:
            audit.record(
                "session:revocation:succeeded",
                target=session_id,
                client_id=client.client_id,
                address=origin.address,
                user_agent=origin.user_agent,
                detail={"by": "client"},
            )
    return ended
