"""The two statements of a refresh: advance the row of a session, and look at it to tell why that did not happen.

Raw SQL: the ORM would cost more than the statement, and turns a related filter into a subquery.
"""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from django.db import connection

from accounts import clock, roles
from accounts.reconnect import with_reconnect
from oauth.models import Client
from oauth.refresh_tokens import RefreshToken

RETRY_WINDOW = timedelta(seconds=60)


@dataclass(frozen=True)
class Origin:
    """Where a request came from."""

    address: str | None
    user_agent: str


@dataclass(frozen=True, repr=False)
class Attempt:
    """One request that presents a refresh token."""

    token: RefreshToken
    client: Client
    origin: Origin
    retry_digests: tuple[bytes, ...]
    has_key: bool


@dataclass(frozen=True, repr=False)
class SessionRow:
    """A session as it stood when it was looked at."""

    user_id: uuid.UUID
    client_pk: int
    scope: str
    generation: int
    is_revoked: bool
    is_live: bool
    retry_digest: bytes | None
    is_in_retry_window: bool
    is_in_overlap: bool
    address: str | None
    audience: str
    auth_time: datetime
    amr: str
    roles: str | None


_USER_IS_LIVE = (
    "EXISTS (SELECT 1 FROM accounts_user WHERE accounts_user.id = oauth_session.user_id"
    " AND accounts_user.is_active AND accounts_user.session_epoch = oauth_session.user_epoch)"
)
_CLIENT_IS_LIVE = "EXISTS (SELECT 1 FROM oauth_client WHERE oauth_client.id = oauth_session.client_id AND oauth_client.is_active)"


@cache
def _columns(vendor: str) -> str:
    role_names = roles.names_sql(user_column="oauth_session.user_id")
    return f"user_id, client_id, scope, generation, retry_digest, address, audience, auth_time, amr, {role_names}"


@cache
def _advance_sql(vendor: str) -> str:
    now, expiry = clock.instant_sql("now"), clock.instant_sql("expiry")
    # SECURITY: own columns in the outer WHERE: PostgreSQL checks them again after it has waited for the row,
    # and a related filter it would not. User and client are as they stood when the statement began.
    return f"""
        UPDATE oauth_session
        SET generation = %(next)s, refreshed_at = {now}, retry_digest = %(retry_digest)s,
            expires_at = CASE WHEN ends_at < {expiry} THEN ends_at ELSE {expiry} END,
            address = %(address)s, user_agent = %(user_agent)s
        WHERE id = %(id)s AND generation = %(expected)s AND client_id = %(client)s
          AND revoked_at IS NULL AND expires_at > {now}
          AND {_USER_IS_LIVE} AND {_CLIENT_IS_LIVE}
        RETURNING {_columns(vendor)}"""  # noqa: S608 - composed of constants


@cache
def _look_sql(vendor: str) -> str:
    now, retry_since, overlap_since = (clock.instant_sql(name) for name in ("now", "retry_since", "overlap_since"))
    return f"""
        SELECT {_columns(vendor)}, revoked_at IS NOT NULL,
               revoked_at IS NULL AND expires_at > {now} AND {_USER_IS_LIVE} AND {_CLIENT_IS_LIVE},
               refreshed_at > {retry_since}, refreshed_at > {overlap_since}
        FROM oauth_session WHERE id = %(id)s"""  # noqa: S608 - composed of constants


def advance(attempt: Attempt, *, expected: int) -> SessionRow | None:
    """Move the session from generation `expected` to the one after the token's; None when it does not stand there, or is dead."""
    parameters = {
        "id": _uuid_parameter(attempt.token.session_id),
        "client": attempt.client.pk,
        "expected": expected,
        "next": attempt.token.generation + 1,
        "now": clock.instant_parameter(),
        "expiry": clock.instant_parameter(plus=attempt.client.refresh_lifetime),
        "retry_digest": attempt.retry_digests[0],
        "address": attempt.origin.address,
        "user_agent": attempt.origin.user_agent,
    }
    row = _fetch_one(_advance_sql(connection.vendor), parameters)
    return None if row is None else _row((*row, False, True, True, True))


def look(attempt: Attempt) -> SessionRow | None:
    parameters = {
        "id": _uuid_parameter(attempt.token.session_id),
        "now": clock.instant_parameter(),
        "retry_since": clock.instant_parameter(plus=-RETRY_WINDOW),
        "overlap_since": clock.instant_parameter(plus=-attempt.client.refresh_overlap),
    }
    row = _fetch_one(_look_sql(connection.vendor), parameters)
    return None if row is None else _row(row)


def _fetch_one(sql: str, parameters: dict[str, Any]) -> tuple[Any, ...] | None:
    def run() -> tuple[Any, ...] | None:
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            row: tuple[Any, ...] | None = cursor.fetchone()
            return row

    return with_reconnect(run)


def _row(row: Sequence[Any]) -> SessionRow:
    user_id, client_pk, scope, generation, digest, address, audience, auth_time, amr, role_names, revoked, live, retry, overlap = row
    return SessionRow(
        user_id=user_id if isinstance(user_id, uuid.UUID) else uuid.UUID(user_id),
        client_pk=client_pk,
        scope=scope,
        generation=generation,
        is_revoked=bool(revoked),
        is_live=bool(live),
        retry_digest=None if digest is None else bytes(digest),
        is_in_retry_window=bool(retry),
        is_in_overlap=bool(overlap),
        address=None if address is None else str(address),
        audience=audience,
        auth_time=clock.read(auth_time),
        amr=amr,
        roles=role_names if role_names is None or isinstance(role_names, str) else json.dumps(role_names),
    )


def _uuid_parameter(value: uuid.UUID) -> Any:
    return value if connection.features.has_native_uuid_field else value.hex
