"""Staff make, describe and remove application roles, on record."""

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from accounts import audit
from accounts.actors import Actor
from accounts.models import Role


def create(name: str, *, description: str, actor: Actor, reason: str) -> Role:
    """Raises ValidationError, also when the name is taken."""
    role = Role(name=name, description=description)
    role.full_clean()
    try:
        with transaction.atomic():
            role.save()
            audit.record("role:registration:created", target=name, detail={"by": "staff", "reason": reason}, **actor)
    except IntegrityError:
        raise ValidationError({"name": "Another role took this name just now."}) from None
    return role


def describe(role: Role, *, description: str, actor: Actor, reason: str) -> None:
    """Raises ValidationError. Its name stays: it stands in tokens, and services go by it."""
    before, role.description = role.description, description
    role.full_clean()
    with transaction.atomic():
        role.save(update_fields=["description"])
        detail = {"by": "staff", "reason": reason, "changes": {"description": {"before": before, "after": description}}}
        audit.record("role:registration:changed", target=role.name, detail=detail, **actor)


def delete(name: str, *, actor: Actor, reason: str) -> bool:
    """Nobody has it any more, from their next access token on; whether this call did it."""
    with transaction.atomic():
        deleted, _ = Role.objects.filter(name=name).delete()
        if deleted:
            audit.record("role:registration:deleted", target=name, detail={"by": "staff", "reason": reason}, **actor)
    return bool(deleted)
