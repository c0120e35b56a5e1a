"""What staff do to people's accounts, whom they may do it to, and the record of it."""

from django.db import transaction
from django.db.models import F, Q, QuerySet

from accounts import audit, outbox
from accounts.actors import Actor
from accounts.models import User


def may_touch(staff: User, user: User) -> bool:
    """Whether `staff`, with the permission for what they are about to do, may do it to this user."""
    # SECURITY: or whoever may change users takes over an account that may do more.
    return staff.is_superuser or not (user.is_staff or user.is_superuser)


class OutOfReach(Exception):
    """Staff may not do this to other staff; superusers may."""


def ensure_within_reach(staff: User, user: User) -> None:
    """Raises OutOfReach."""
    if not may_touch(staff, user):
        raise OutOfReach


def locked(user: User) -> User:
    """The user as they are now, locked to the end of the transaction together with every superuser: what is decided of them stays true.

    All in one statement and one order, so that two superusers who change each other wait and do not deadlock.
    """
    rows: QuerySet[User] = User.objects.select_for_update(no_key=True).filter(Q(pk=user.pk) | Q(is_superuser=True)).order_by("pk")
    return next(row for row in rows if row.pk == user.pk)


def is_last_superuser(user: User) -> bool:
    """Whether without this user nobody could sign in to the admin and do everything there."""
    able = User.objects.filter(is_active=True, is_staff=True, is_superuser=True)
    return user.is_active and user.is_staff and user.is_superuser and not able.exclude(pk=user.pk).exists()


def end_sessions(user: User) -> None:
    """No session of the user goes on after its next request, the browser's of the admin too, and no code that was sent to them is taken.

    In the caller's transaction; whatever was written since they were read.
    """
    User.objects.filter(pk=user.pk).update(session_epoch=F("session_epoch") + 1)
    outbox.withdraw(user)


def sign_out_everywhere(user: User, *, actor: Actor, reason: str) -> None:
    """End every session of the user for a member of staff, and record it."""
    with transaction.atomic():
        end_sessions(user)
        audit.record("user:sessions:revoked", target=user.pk, detail={"by": "staff", "reason": reason}, **actor)


class LastSuperuser(Exception):
    """Without this user nobody could do everything."""


def disable(user: User, *, actor: Actor, reason: str) -> bool:
    """Shut a user out and end their sessions for a member of staff, and record it; whether this call did it. Raises LastSuperuser."""
    with transaction.atomic():
        current = locked(user)
        if is_last_superuser(current):
            raise LastSuperuser
        disabled = bool(User.objects.filter(pk=user.pk, is_active=True).update(is_active=False))
        if disabled:
            # SECURITY: or a thief is back in when the account is enabled again.
            end_sessions(user)
            audit.record("user:account:disabled", target=user.pk, detail={"by": "staff", "reason": reason}, **actor)
    return disabled


def enable(user: User, *, actor: Actor, reason: str) -> bool:
    """Let a disabled user sign in again, and record it; whether this call did it."""
    with transaction.atomic():
        enabled = bool(User.objects.filter(pk=user.pk, is_active=False).update(is_active=True))
        if enabled:
            audit.record("user:account:enabled", target=user.pk, detail={"by": "staff", "reason": reason}, **actor)
    return enabled
