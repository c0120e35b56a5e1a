"""The only writer of AuditEvent.

Every event's name is `subject:object:outcome` and stands in EVENTS; docs/security.md explains each.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from accounts.clock import Instant
from accounts.models import AuditEvent

EVENTS = frozenset(
    {
        "user:sign_in:succeeded",
        "user:sign_in:failed",
        "session:refresh:retried",
        "session:refresh:overlapped",
        "session:refresh:caught_up",
        "session:refresh_token:reused",
        "session:refresh_token:presented_by_another_client",
        "client:registration:created",
        "client:secret:rotated",
        "signing_key:schedule:created",
    }
)


def record(
    event: str,
    *,
    actor_id: UUID | None = None,
    target: object = "",
    client_id: str = "",
    address: str | None = None,
    user_agent: str = "",
    error_id: str = "",
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Write one event, in the caller's transaction when there is one: an act and its record stand or fall together.

    `detail` is JSON and holds no secret. Raises KeyError for an event that EVENTS does not name.
    """
    if event not in EVENTS:
        raise KeyError(event)
    AuditEvent.objects.create(
        at=Instant(),
        event=event,
        actor_id=actor_id,
        target=str(target),
        client_id=client_id,
        address=address,
        user_agent=user_agent[:200],
        error_id=error_id,
        detail=dict(detail or {}),
    )
