"""Staff make users, and change the names, the address and the roles of those there are; each on record with what it was before."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from accounts import audit, outbox, users
from accounts.actors import Actor
from accounts.models import Role, User

CHANGEABLE = ("username", "email", "name")


def create(username: str, *, email: str, name: str, actor: Actor, reason: str) -> User:
    """Make a user without a password: they choose one by a password reset. Raises ValidationError."""
    with transaction.atomic():
        user: User = User.objects.create_user(username, email, None, name=name)
        audit.record("user:account:created", target=user.pk, detail=_detail({}, reason), **actor)
    return user


def change(user: User, *, fields: Mapping[str, str], staff: User, actor: Actor, reason: str) -> None:
    """Give a user other names (of CHANGEABLE). Raises ValidationError, users.OutOfReach."""
    with transaction.atomic():
        current = users.locked(user)
        # SECURITY: as they are now: they may have become staff since they were read.
        users.ensure_within_reach(staff, current)
        before = {name: getattr(current, name) for name in fields}
        for name, value in fields.items():
            setattr(current, name, value)
        current.full_clean(exclude={field.name for field in User._meta.fields} - {*fields})
        changed = {name for name in fields if getattr(current, name) != before[name]}
        if not changed:
            return
        canonical = {f"{name}_canonical" for name in ("username", "email") if name in changed}
        try:
            with transaction.atomic():
                current.save(update_fields=changed | canonical)
        except IntegrityError:
            raise ValidationError("Another user took this name or e-mail just now.") from None
        if "email" in changed:
            # SECURITY: or a code that a thief has sent for takes the address back.
            outbox.withdraw(current)
        changes = {name: {"before": before[name], "after": getattr(current, name)} for name in sorted(changed)}
        audit.record("user:account:changed", target=user.pk, detail=_detail(changes, reason), **actor)


def set_roles(user: User, *, role_names: Iterable[str], staff: User, actor: Actor, reason: str) -> None:
    """Give a user these application roles and no others. Raises ValidationError for a role that does not exist, users.OutOfReach."""
    wanted = {*role_names}
    with transaction.atomic():
        current = users.locked(user)
        # SECURITY: as they are now: they may have become staff since they were read.
        users.ensure_within_reach(staff, current)
        roles = list(Role.objects.filter(name__in=wanted))
        if len(roles) < len(wanted):
            raise ValidationError({"roles": "There is no role of one of these names."})
        before = sorted(current.roles.values_list("name", flat=True))
        if before == sorted(wanted):
            return
        current.roles.set(roles)
        changes = {"roles": {"before": before, "after": sorted(wanted)}}
        audit.record("user:account:changed", target=user.pk, detail=_detail(changes, reason), **actor)


def _detail(changes: Mapping[str, Any], reason: str) -> dict[str, Any]:
    return {"by": "staff", "reason": reason} | ({"changes": dict(changes)} if changes else {})
