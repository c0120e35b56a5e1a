"""A refresh token that another client sends than its own: on record, and not as often as somebody likes to send it."""

import threading
import time
import uuid
from collections import OrderedDict
from typing import Any

from accounts import audit
from oauth.models import Client
from oauth.session_rows import Origin

EVENT = "session:refresh_token:presented_by_another_client"
ONCE_IN_SECONDS = 3600.0
MOST_REMEMBERED = 10_000


class Recent:
    """Which client sent a token of which session within the hour, as far as this process was asked."""

    def __init__(self) -> None:
        self._until: OrderedDict[tuple[uuid.UUID, str], float] = OrderedDict()
        self._lock = threading.Lock()

    def has(self, session_id: uuid.UUID, client_id: str) -> bool:
        return self._until.get((session_id, client_id), 0.0) > time.monotonic()

    def add(self, session_id: uuid.UUID, client_id: str) -> None:
        with self._lock:
            self._until[session_id, client_id] = time.monotonic() + ONCE_IN_SECONDS
            self._until.move_to_end((session_id, client_id))
            while len(self._until) > MOST_REMEMBERED:
                self._until.popitem(last=False)

    def forget(self) -> None:
        with self._lock:
            self._until.clear()


recent = Recent()


def record(session_id: uuid.UUID, *, owner_id: uuid.UUID, client: Client, origin: Origin, error_id: str = "", **detail: Any) -> None:
    """Record that `client` sent a refresh token of the session of another client; once an hour in this process."""
    # SECURITY: who has one token and the name of a public client would fill the audit log, which nobody may thin out.
    if recent.has(session_id, client.client_id):
        return
    audit.record(
        EVENT,
        actor_id=owner_id,
        target=session_id,
        client_id=client.client_id,
        address=origin.address,
        user_agent=origin.user_agent,
        error_id=error_id,
        detail=detail,
    )
    recent.add(session_id, client.client_id)
