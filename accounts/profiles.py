"""What users say of themselves: their name."""

from django.db import transaction

from accounts import audit
from accounts.actors import Actor
from accounts.models import User


def change(user: User, *, name: str, actor: Actor, client_id: str) -> None:
    """Give the user this name. Recorded where it is another one; the event says which fields changed, and not to what."""
    with transaction.atomic():
        if User.objects.filter(pk=user.pk).exclude(name=name).update(name=name):
            audit.record("user:profile:changed", target=user.pk, client_id=client_id, detail={"fields": ["name"]}, **actor)
    user.name = name
