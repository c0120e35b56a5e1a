"""Disable a client, and enable it again, for a member of staff."""

from django.db import transaction

from accounts import audit
from accounts.actors import Actor
from oauth import clients
from oauth.models import Client


def disable(client: Client, *, actor: Actor, reason: str) -> bool:
    """It gets no token from now on, and its sessions do not refresh; they come back with it. True when this call did it."""
    return _turn(client, is_active=False, actor=actor, reason=reason)


def enable(client: Client, *, actor: Actor, reason: str) -> bool:
    return _turn(client, is_active=True, actor=actor, reason=reason)


def _turn(client: Client, *, is_active: bool, actor: Actor, reason: str) -> bool:
    with transaction.atomic():
        turned: bool = Client.objects.filter(pk=client.pk, is_active=not is_active).update(is_active=is_active) == 1
        if turned:
            outcome = "enabled" if is_active else "disabled"
            audit.record(f"client:registration:{outcome}", client_id=client.client_id, detail={"by": "staff", "reason": reason}, **actor)
    clients.cache.forget()
    return turned
