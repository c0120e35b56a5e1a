"""What keeps a user out now: how many attempts failed, from where, and when it opens by itself."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from accounts import lockout, users
from accounts.actors import Actor
from accounts.login_lanes import EVERYWHERE
from accounts.models import LoginCounter, User

MOST_SHOWN = 10


@dataclass(frozen=True)
class Lock:
    failures: int
    source: Any
    locked_at: datetime
    opens_at: datetime


def locks_of(user: User) -> list[Lock]:
    """Those that end last, by the index of names."""
    rows = LoginCounter.objects.locked().filter(digest=lockout.digest_of_user(user.pk))
    return [lock_of(row) for row in rows.order_by("-locked_until")[:MOST_SHOWN]]


def let_in(user: User, *, actor: Actor, reason: str) -> None:
    """Enable a user and lift every lock on them, for a member of staff, so that they can sign in at once."""
    with transaction.atomic():
        users.enable(user, actor=actor, reason=reason)
        lockout.unlock(user.pk, actor=actor, reason=reason)


def lock_of(row: LoginCounter) -> Lock:
    assert row.locked_until is not None  # noqa: S101 - for the type checker
    since = row.locked_until - settings.BRUTE_FORCE_LOCKOUT_DURATION
    return Lock(row.lane_failures, source_in_words(row.source), since, row.locked_until)


def source_in_words(source: str) -> Any:
    if source == EVERYWHERE:
        return _("every address that is not known for this user")
    return source or _("an unknown address")
