"""The only writer of AuditEvent.

Every event's name is `subject:object:outcome` and stands in EVENTS; docs/security.md explains each.
Raw SQL: the ORM composed the same statement anew for each event, at more than twice the price of carrying it out.
"""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, TypedDict, Unpack
from uuid import UUID

from accounts import clock, statements

EVENTS = frozenset(
    {
        "user:sign_in:succeeded",
        "user:sign_in:failed",
        "user:second_factor:added",
        "user:second_factor:removed",
        "user:second_factor:used",
        "user:second_factor:failed",
        "user:second_factor:reset",
        "user:recovery_codes:generated",
        "user:reauthentication:succeeded",
        "user:lockout:started",
        "user:lockout:lifted",
        "user:sign_out:succeeded",
        "user:sessions:revoked",
        "user:account:created",
        "user:account:changed",
        "user:account:disabled",
        "user:account:enabled",
        "user:password:changed",
        "user:password:reset_requested",
        "user:password:reset",
        "user:account:registered",
        "user:account:confirmed",
        "user:profile:changed",
        "user:email:change_requested",
        "user:email:changed",
        "network:password_spraying:detected",
        "users:import:finished",
        "users:export:finished",
        "older_service:import:finished",
        "user:consent:given",
        "user:consent:withdrawn",
        "session:authorization_code:redeemed",
        "session:authorization_code:reused",
        "session:refresh:retried",
        "session:refresh:overlapped",
        "session:refresh:caught_up",
        "session:refresh_token:reused",
        "session:refresh_token:presented_by_another_client",
        "session:revocation:succeeded",
        "device:code:approved",
        "device:code:denied",
        "device:code:failed",
        "sessions:ending:started",
        "sessions:ending:finished",
        "restore:revocations:started",
        "restore:revocations:finished",
        "user:revocations:replayed",
        "client:revocations:replayed",
        "role:registration:created",
        "role:registration:changed",
        "role:registration:deleted",
        "group:registration:created",
        "group:registration:changed",
        "group:registration:deleted",
        "client:registration:created",
        "client:registration:changed",
        "client:registration:disabled",
        "client:registration:enabled",
        "client:secret:rotated",
        "signing_key:schedule:created",
        "signing_key:schedule:imported",
        "signing_key:schedule:rotated",
        "signing_key:schedule:revoked",
        "signing_key:private_key:erased",
        "signing_key:private_key:reencrypted",
        "audit:log:exported",
    }
)


class Fields(TypedDict, total=False):
    """What is known of an event; what is left out is empty."""

    actor_id: UUID | None
    target: object
    client_id: str
    address: str | None
    user_agent: str
    error_id: str
    detail: Mapping[str, Any] | None


def record(event: str, **fields: Unpack[Fields]) -> None:
    """Write one event, in the caller's transaction when there is one: an act and its record stand or fall together.

    `detail` is JSON and holds no secret. Raises KeyError for an event that EVENTS does not name.
    """
    row(event, **fields).execute()


def row(event: str, **fields: Unpack[Fields]) -> statements.Insert:
    """The event for whoever writes it together with other rows; as `record` otherwise."""
    if event not in EVENTS:
        raise KeyError(event)
    parameters = {
        "now": clock.instant_parameter(),
        "event": event,
        "actor_id": statements.uuid_parameter(fields.get("actor_id")),
        "target": str(fields.get("target", "")),
        "client_id": fields.get("client_id", ""),
        "address": fields.get("address"),
        "user_agent": fields.get("user_agent", "")[:200],
        "error_id": fields.get("error_id", ""),
        "detail": json.dumps(dict(fields.get("detail") or {})),
    }
    return statements.Insert(_insert_sql(statements.vendor()), parameters)


@cache
def _insert_sql(vendor: str) -> str:
    return f"""
        INSERT INTO accounts_auditevent (at, event, actor_id, target, client_id, address, user_agent, error_id, detail)
        SELECT {clock.instant_sql("now")}, %(event)s, %(actor_id)s, %(target)s, %(client_id)s, %(address)s, %(user_agent)s,
               %(error_id)s, %(detail)s"""
