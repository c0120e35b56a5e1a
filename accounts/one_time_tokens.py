"""Codes that are sent by mail and prove who reads it: made, and used once.

Whoever makes, uses or forgets codes holds the user's row first (`hold_owner`): so no two of them wait for each
other, and none works on what another has just done away with.
"""

import hashlib
import secrets
from datetime import timedelta
from uuid import UUID

from django.db import transaction

from accounts.clock import Instant
from accounts.models import OneTimeToken, User

LIFETIME = timedelta(minutes=30)
EMAIL_CHANGE = "email_change"
PASSWORD_RESET = "password_reset"  # noqa: S105 - the name of a purpose
REGISTRATION = "registration"
FRESH_FOR = timedelta(minutes=1)
PRUNE_BATCH = 1000


class InvalidCode(Exception):
    """The code is unknown, used, expired, or for something else: one answer for all. `reason` is for the log alone."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def hold_owner(user_id: UUID) -> User | None:
    """The user, if active, whose row is the caller's until the end of the transaction."""
    user: User | None = User.objects.select_for_update(no_key=True).filter(pk=user_id, is_active=True).first()
    return user


def make(user: User, *, purpose: str, email: str) -> str:
    """A new code for the mail to this address; the one before it for the same purpose is void. Only a digest is stored."""
    value = secrets.token_urlsafe(32)
    OneTimeToken.objects.filter(user=user, purpose=purpose).delete()
    OneTimeToken.objects.create(
        digest=_digest(value), purpose=purpose, user=user, email=email, created_at=Instant(), expires_at=Instant(plus=LIFETIME)
    )
    return value


def is_fresh(user: User, *, purpose: str, email: str) -> bool:
    """Whether a code was sent there just now: who asks again and again gets one mail a minute."""
    return OneTimeToken.objects.filter(user=user, purpose=purpose, email=email, created_at__gt=Instant(plus=-FRESH_FOR)).exists()


def find_owner(value: str, *, purpose: str) -> User | None:
    """The active user of a code that is good right now. It stays good."""
    codes = OneTimeToken.objects.filter(pk=_digest(value.strip()), purpose=purpose, expires_at__gt=Instant(), user__is_active=True)
    code = codes.select_related("user").first()
    return None if code is None else code.user


def use(value: str, *, purpose: str) -> tuple[User, str]:
    """Spend a code, in the caller's transaction: its user, whose row is held, and the address that it was sent to. Raises InvalidCode."""
    codes = OneTimeToken.objects.filter(pk=_digest(value.strip()), purpose=purpose)
    token = codes.first()
    if token is None:
        raise InvalidCode("code unknown or used")
    user = hold_owner(token.user_id)
    if user is None:
        raise InvalidCode("user disabled")
    # SECURITY: the statement that deletes the code decides which of two uses is the first, and whether it is in time.
    spent, _ = codes.filter(expires_at__gt=Instant()).delete()
    if not spent:
        raise InvalidCode("code expired, or used meanwhile")
    return user, token.email


def forget(user: User) -> None:
    """All codes of a user are void."""
    OneTimeToken.objects.filter(user=user).delete()


def forget_all() -> int:
    """Take no code that was sent to anybody; how many there were. They live for half an hour, so they are few."""
    forgotten, _ = OneTimeToken.objects.all().delete()
    return forgotten


def prune() -> int:
    """Remove a batch of codes that have expired; how many."""
    # It waits for nobody who holds a code, for they may wait for it.
    expired = OneTimeToken.objects.select_for_update(skip_locked=True).filter(expires_at__lte=Instant()).order_by("pk")
    with transaction.atomic():
        removed, _ = OneTimeToken.objects.filter(pk__in=[token.pk for token in expired[:PRUNE_BATCH]]).delete()
    return removed


def _digest(value: str) -> bytes:
    """A fast hash is enough: 256 random bits cannot be guessed."""
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest()
