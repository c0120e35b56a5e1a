"""What was taken from a user since the backup is taken from them again, in one transaction, on record.

What they were given since is not given again.
"""

from uuid import UUID

from allauth.mfa.models import Authenticator
from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.db.models import Q

from accounts import users
from accounts.actors import Actor
from accounts.models import User
from oauth.restored import done as done_before
from oauth.restored.forgotten import Person


def replay(person_id: UUID, forgotten: Person, *, actor: Actor) -> None:
    """Nothing is done to a user who is not here: they came after the backup."""
    found = User.objects.filter(pk=person_id).first()
    if found is None:
        return
    with transaction.atomic():
        user = users.locked(found)
        done = [
            *_end_sessions(user, forgotten),
            *_disable(user, forgotten),
            *_take_password(user, forgotten),
            *_take_factors(user, forgotten),
            *_take_rights(user, forgotten),
        ]
        done_before.record(done_before.PERSON, forgotten, done=done, target=user.pk, actor=actor)


def _end_sessions(user: User, forgotten: Person) -> list[str]:
    if not forgotten.ends_sessions:
        return []
    users.end_sessions(user)
    return ["sessions ended"]


def _disable(user: User, forgotten: Person) -> list[str]:
    # Also the last superuser: whoever types this can make another.
    if not forgotten.is_disabled or not User.objects.filter(pk=user.pk, is_active=True).update(is_active=False):
        return []
    return ["disabled"]


def _take_password(user: User, forgotten: Person) -> list[str]:
    if not forgotten.loses_password or not user.has_usable_password():
        return []
    # SECURITY: the password of the backup is the one that was given up, often because somebody else had it.
    User.objects.filter(pk=user.pk).update(password=make_password(None))
    return ["password taken away"]


def _take_factors(user: User, forgotten: Person) -> list[str]:
    rows = Authenticator.objects.filter(user_id=user.pk)
    gone = Q(type="totp") if forgotten.loses_authenticator else Q(pk__in=())
    if forgotten.loses_factors:
        gone |= Q(pk__isnull=False)
    for pk, removed_at in forgotten.passkeys.items():
        gone |= Q(pk=pk, created_at__lte=removed_at)
    if forgotten.loses_recovery_codes:
        # SECURITY: or a code that was used is good once more.
        gone |= Q(type="recovery_codes")
    had_others = rows.exclude(type="recovery_codes").exists()
    # Not those that came after the restore: they were never taken away.
    removed, _ = rows.filter(gone, created_at__lte=forgotten.until).delete()
    if removed and had_others and not rows.exclude(type="recovery_codes").exists():
        rows.delete()  # recovery codes recover nothing by themselves
    return ["second factors taken away"] if removed else []


def _take_rights(user: User, forgotten: Person) -> list[str]:
    lost = {name for name, is_set in forgotten.flags.items() if not is_set and getattr(user, name)}
    if lost:
        # SECURITY: or whoever was staff is staff again.
        User.objects.filter(pk=user.pk).update(**dict.fromkeys(lost, False))
    taken = bool(lost)
    for column, names in forgotten.lists.items():
        held = getattr(user, column)
        rows = held.filter(_named(column, names))
        taken |= rows.exists()
        held.remove(*rows)
    return ["rights taken away"] if taken else []


def _named(column: str, names: set[str]) -> Q:
    if column != "user_permissions":
        return Q(name__in=names)
    pairs = (name.partition(".")[::2] for name in sorted(names))
    # None among them, or of an empty set all would be meant.
    each = (Q(content_type__app_label=label, codename=codename) for label, codename in pairs)
    return Q.create([Q(pk__in=()), *each], connector=Q.OR)
