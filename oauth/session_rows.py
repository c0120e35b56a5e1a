"""The statements of a session's row: begin it at a sign-in, advance it at a refresh, look at it to tell why that did not happen.

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

from accounts import clock, roles, statements
from accounts.models import User
from accounts.reconnect import with_reconnect
from accounts.statements import Insert
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
def _new_sql(vendor: str, *, has_end: bool) -> str:
    now, expiry = clock.instant_sql("now"), clock.instant_sql("expiry")
    end = clock.instant_sql("end") if has_end else "NULL"
    return f"""
        INSERT INTO oauth_session
            (id, user_id, user_epoch, client_id, scope, generation, created_at, refreshed_at, expires_at, ends_at,
             revoked_reason, audience, auth_time, amr, address, user_agent)
        SELECT %(id)s, %(user)s, %(user_epoch)s, %(client)s, %(scope)s, 0, {now}, {now}, {expiry}, {end},
               '', %(audience)s, %(auth_time)s, %(amr)s, %(address)s, %(user_agent)s"""


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


def new(
    session_id: uuid.UUID,
    *,
    user: User,
    client: Client,
    scope: str,
    audience: str,
    auth_time: datetime,
    amr: str,
    expires_after: timedelta,
    ends_after: timedelta | None,
    origin: Origin,
) -> Insert:
    """The row of a session that begins, of a user as they stood when they were verified."""
    parameters = {
        "id": statements.uuid_parameter(session_id),
        "user": statements.uuid_parameter(user.pk),
        "user_epoch": user.session_epoch,
        "client": client.pk,
        "scope": scope,
        "now": clock.instant_parameter(),
        "expiry": clock.instant_parameter(plus=expires_after),
        "audience": audience,
        "auth_time": connection.ops.adapt_datetimefield_value(auth_time),
        "amr": amr,
        "address": origin.address,
        "user_agent": origin.user_agent,
    }
    if ends_after is not None:
        parameters["end"] = clock.instant_parameter(plus=ends_after)
    return Insert(_new_sql(statements.vendor(), has_end=ends_after is not None), parameters)


def advance(attempt: Attempt, *, expected: int) -> SessionRow | None:
    """Move the session from generation `expected` to the one after the token's; None when it does not stand there, or is dead."""
    parameters = {
        "id": statements.uuid_parameter(attempt.token.session_id),
        "client": attempt.client.pk,
        "expected": expected,
        "next": attempt.token.generation + 1,
        "now": clock.instant_parameter(),
        "expiry": clock.instant_parameter(plus=attempt.client.refresh_lifetime),
        "retry_digest": attempt.retry_digests[0],
        "address": attempt.origin.address,
        "user_agent": attempt.origin.user_agent,
    }
    row = with_reconnect(lambda: statements.fetch_one(_advance_sql(statements.vendor()), parameters))
    return None if row is None else _row((*row, False, True, True, True))


def look(attempt: Attempt) -> SessionRow | None:
    parameters = {
        "id": statements.uuid_parameter(attempt.token.session_id),
        "now": clock.instant_parameter(),
        "retry_since": clock.instant_parameter(plus=-RETRY_WINDOW),
        "overlap_since": clock.instant_parameter(plus=-attempt.client.refresh_overlap),
    }
    row = with_reconnect(lambda: statements.fetch_one(_look_sql(statements.vendor()), parameters))
    return None if row is None else _row(row)


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
