"""What users let clients do: asked, remembered, taken back."""

from django.db import transaction

from accounts import audit
from accounts.actors import Actor
from accounts.clock import Instant
from accounts.models import User
from accounts.reconnect import with_reconnect
from oauth import scopes
from oauth.models import Client, Consent, Session

WITHDRAWN = "consent_withdrawn"


def covers(user: User, *, client: Client, scope: str) -> bool:
    """Whether the user has already let this client have all of it."""
    granted = with_reconnect(Consent.objects.filter(user=user, client=client).values_list("scope", flat=True).first)
    return granted is not None and scopes.parse(scope) <= scopes.parse(granted)


def give(user: User, *, client: Client, scope: str, actor: Actor) -> None:
    """Remember it, beside what was given before."""
    with transaction.atomic():
        consent, _ = Consent.objects.select_for_update().get_or_create(
            user=user, client=client, defaults={"scope": scope, "granted_at": Instant()}
        )
        together = scopes.format(scopes.parse(consent.scope) | scopes.parse(scope))
        Consent.objects.filter(pk=consent.pk).update(scope=together, granted_at=Instant())
        audit.record("user:consent:given", target=user.pk, client_id=client.client_id, detail={"scope": scope}, **actor)


def withdraw(user: User, *, client: Client, actor: Actor) -> bool:
    """Forget it, and end the sessions of this user through this client: True when there was anything to end."""
    with transaction.atomic():
        forgotten, _ = Consent.objects.filter(user=user, client=client).delete()
        open_sessions = Session.objects.filter(user=user, client=client, revoked_at=None, expires_at__gt=Instant())
        ended = open_sessions.update(revoked_at=Instant(), revoked_reason=WITHDRAWN)
        if forgotten or ended:
            audit.record("user:consent:withdrawn", target=user.pk, client_id=client.client_id, detail={"sessions": ended}, **actor)
    return bool(forgotten or ended)
