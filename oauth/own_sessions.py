"""What users do to their own sessions: end one, end all others, take one along when all others end."""

import uuid

from django.db import transaction

from accounts import audit, epochs
from accounts.actors import Actor
from accounts.clock import Instant
from accounts.models import User
from oauth import sessions
from oauth.errors import InvalidToken, NotFound
from oauth.models import Session


def end(session_id: uuid.UUID, *, user: User, actor: Actor) -> None:
    """End one; again is no mistake. Raises NotFound for what is no session of theirs."""
    session = Session.objects.select_related("client").filter(pk=session_id, user=user).first()
    if session is None:
        # SECURITY: another user's session is nothing to this one, and looks like nothing.
        raise NotFound("There is no such session of this user.")
    with transaction.atomic():
        if sessions.revoke(session.pk, reason="ended_by_user"):
            audit.record(
                "session:revocation:succeeded", target=session.pk, client_id=session.client.client_id, detail={"by": "user"}, **actor
            )


def end_others(session_id: uuid.UUID, *, user: User, actor: Actor) -> None:
    """End all but this one, Django's own in browsers among them. Raises epochs.Stale, InvalidToken."""
    with transaction.atomic():
        keep(session_id, epoch=epochs.begin(user))
        audit.record("user:sessions:revoked", target=user.pk, detail={"by": "user"}, **actor)


def end_all(user: User, *, actor: Actor) -> int:
    """End all of them, in the caller's transaction, so that a browser can be taken along; the epoch that begins. Raises epochs.Stale."""
    epoch = epochs.begin(user)
    audit.record("user:sessions:revoked", target=user.pk, detail={"by": "user"}, **actor)
    return epoch


def keep(session_id: uuid.UUID, *, epoch: int) -> None:
    """Take a session along into the epoch that began in the caller's transaction. Raises InvalidToken when it has ended meanwhile.

    A refresh that waits for the row finds that its user, as it saw them, is of another epoch; it looks again, and goes on.
    """
    # SECURITY: of the epoch before and alive, by its own columns at the moment of writing: what was ended stays ended.
    kept = Session.objects.filter(pk=session_id, user_epoch=epoch - 1, revoked_at=None, expires_at__gt=Instant()).update(user_epoch=epoch)
    if not kept:
        raise InvalidToken("session ended meanwhile")
