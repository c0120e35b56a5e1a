"""A user's epoch: a new one ends every session of theirs at its next request, in browsers too."""

from typing import Any

from django.db.models import F

from accounts.models import User


class Stale(Exception):
    """The user was disabled, or their epoch is over, since they were read."""


def begin(user: User, **columns: Any) -> int:
    """A new epoch for the user as they were read, with these columns beside it, in the caller's transaction; its number.

    Raises Stale. Another password is another epoch, so what was proved by the old one counts no more.
    """
    # SECURITY: as they were read: what was decided of them may have changed while the request was on its way here.
    begun = User.objects.filter(pk=user.pk, is_active=True, session_epoch=user.session_epoch).update(
        session_epoch=F("session_epoch") + 1, **columns
    )
    if not begun:
        raise Stale
    return user.session_epoch + 1
