"""Django's own sessions (the admin's), their keys stored as digests: a copy of the table signs nobody in."""

import hashlib
from typing import Any

from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.contrib.sessions.models import Session
from django.utils import timezone

from accounts.reconnect import with_reconnect

PRUNE_BATCH = 1000


class SessionStore(DatabaseStore):
    """The cookie holds the key, the table its digest. Everything else is Django's."""

    def _get_session_from_db(self) -> Session | None:
        live = Session.objects.filter(session_key=_digest(self.session_key or ""), expire_date__gt=timezone.now())
        stored: Session | None = with_reconnect(live.first)
        if stored is None:
            self._session_key = None
        return stored

    def exists(self, session_key: str) -> bool:
        return super().exists(_digest(session_key))

    def create_model_instance(self, data: dict[str, Any]) -> Session:
        instance: Session = super().create_model_instance(data)  # type: ignore[assignment] # the stubs name its abstract parent
        instance.session_key = _digest(instance.session_key)
        return instance

    def delete(self, session_key: str | None = None) -> None:
        key = session_key or self.session_key
        if key is not None:
            super().delete(_digest(key))


def prune() -> int:
    """Remove a batch of sessions that have expired; how many."""
    expired = Session.objects.filter(expire_date__lt=timezone.now()).order_by("pk").values_list("pk", flat=True)[:PRUNE_BATCH]
    removed, _ = Session.objects.filter(pk__in=list(expired)).delete()
    return removed


def _digest(session_key: str) -> str:
    # SECURITY: 160 bits of SHA-256, all that the column holds, of a key that is random.
    return hashlib.sha256(session_key.encode()).hexdigest()[:40]
