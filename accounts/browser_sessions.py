"""Django's own sessions (the admin's): keys stored as digests, ended when nobody used them for a while, and when they grow old."""

import hashlib
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.contrib.sessions.models import Session

from accounts import clock
from accounts.reconnect import with_reconnect

PRUNE_BATCH = 1000
STARTED_AT = "started_at"
# A page in use moves its limit once in a while, and not with every request.
TOUCH_EVERY = timedelta(minutes=1)


def begin(session: SessionBase) -> None:
    """Somebody signed in: the session's age counts from now."""
    session[STARTED_AT] = int(clock.now().timestamp())


class SessionStore(DatabaseStore):
    """The cookie holds the key, the table its digest. Everything else is Django's."""

    def _get_session_from_db(self) -> Session | None:
        live = Session.objects.filter(session_key=_digest(self.session_key or ""), expire_date__gt=clock.now())
        stored: Session | None = with_reconnect(live.first)
        if stored is None:
            self._session_key = None
        else:
            self._touch(stored)
        return stored

    def _touch(self, stored: Session) -> None:
        """It is in use: it goes on for another while."""
        ends_at = _end_of(self.decode(stored.session_data))
        if ends_at - stored.expire_date >= TOUCH_EVERY:
            Session.objects.filter(pk=stored.pk, expire_date__gt=clock.now()).update(expire_date=ends_at)

    def exists(self, session_key: str) -> bool:
        return super().exists(_digest(session_key))

    def create_model_instance(self, data: dict[str, Any]) -> Session:
        data.setdefault(STARTED_AT, int(clock.now().timestamp()))
        instance: Session = super().create_model_instance(data)  # type: ignore[assignment] # the stubs name its abstract parent
        instance.session_key = _digest(instance.session_key)
        instance.expire_date = _end_of(data)
        return instance

    def delete(self, session_key: str | None = None) -> None:
        key = session_key or self.session_key
        if key is not None:
            super().delete(_digest(key))


def prune() -> int:
    """Remove a batch of sessions that have expired; how many."""
    expired = Session.objects.filter(expire_date__lt=clock.now()).order_by("pk").values_list("pk", flat=True)[:PRUNE_BATCH]
    removed, _ = Session.objects.filter(pk__in=list(expired)).delete()
    return removed


def end_all() -> int:
    """End all of them, batch by batch; how many. Everybody signs in again at the browser, staff too."""
    ended = 0
    while batch := list(Session.objects.order_by("pk").values_list("pk", flat=True)[:PRUNE_BATCH]):
        removed, _ = Session.objects.filter(pk__in=batch).delete()
        ended += removed
    return ended


def _end_of(data: dict[str, Any]) -> datetime:
    """When a session with this data ends unless it is used again."""
    now = clock.now()
    started = now.timestamp() if STARTED_AT not in data else data[STARTED_AT]
    age = timedelta(seconds=now.timestamp() - started)
    # SECURITY: however busy it is: a stolen cookie that is kept warm ends too.
    return now + min(settings.BROWSER_SESSION_IDLE, settings.BROWSER_SESSION_MAX_AGE - age)


def _digest(session_key: str) -> str:
    # SECURITY: 160 bits of SHA-256, all that the column holds, of a key that is random.
    return hashlib.sha256(session_key.encode()).hexdigest()[:40]
