"""The older service's database, read as it is and as of one instant; nothing is written to it."""

import json
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import dj_database_url
from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import ConnectionHandler
from psycopg import IsolationLevel

from accounts import clock

_COLUMNS = {
    "users": ("id", "username", "email", "password_hash", "is_active", "created_at", "updated_at", "last_login_at"),
    "oauth_clients": (
        *("client_id", "client_secret_hash", "name", "is_confidential", "allowed_scopes", "allowed_grant_types"),
        *("access_token_lifetime", "refresh_token_lifetime", "is_active"),
    ),
    "refresh_tokens": ("jti_hash", "user_id", "client_id", "scope", "expires_at", "revoked", "revoked_at", "parent_jti_hash", "created_at"),
}
_BATCH = 1000

# The tokens that work, each with the instant at which its line of rotations began: that is when somebody signed in.
_LIVE_TOKENS = """
    WITH RECURSIVE line (jti_hash, parent, began_at) AS (
        SELECT jti_hash, parent_jti_hash, created_at FROM refresh_tokens WHERE NOT revoked AND expires_at > %(now)s
        UNION
        SELECT line.jti_hash, older.parent_jti_hash, older.created_at
        FROM line JOIN refresh_tokens AS older ON older.jti_hash = line.parent
    ), beginnings AS (SELECT jti_hash, min(began_at) AS began_at FROM line GROUP BY jti_hash)
    SELECT token.jti_hash, token.user_id, token.client_id, token.scope, token.created_at, token.expires_at, beginnings.began_at
    FROM beginnings JOIN refresh_tokens AS token ON token.jti_hash = beginnings.jti_hash"""
_ENDED_TOKENS = "SELECT jti_hash FROM refresh_tokens WHERE revoked AND revoked_at >= %(since)s AND expires_at > %(now)s"


class NotReadable(Exception):
    """It cannot be opened, or is another database. The message tells a person what to do and holds no password."""


@dataclass(frozen=True)
class OlderClient:
    """`secret_hash` is bcrypt, and empty for a public client; lifetimes in seconds."""

    client_id: str
    name: str
    is_confidential: bool
    is_active: bool
    secret_hash: str
    scopes: tuple[str, ...]
    grant_types: tuple[str, ...]
    access_token_lifetime: int | None
    refresh_token_lifetime: int | None


@dataclass(frozen=True)
class OlderToken:
    """A refresh token that works. `jti_digest` is SHA-256 of its jti; `began_at` is when its user signed in."""

    jti_digest: bytes
    user_id: uuid.UUID
    client_id: str
    scopes: frozenset[str]
    created_at: datetime
    expires_at: datetime
    began_at: datetime


class OlderDatabase:
    """What was found there; made by `opened`."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection

    def count(self, table: str) -> int:
        [(number,)] = self._rows(f"SELECT count(*) FROM {_known(table)}")  # noqa: S608 - one of three names
        return int(number)

    def users(self) -> Iterator[dict[str, Any]]:
        yield from self._table("users")

    def clients(self) -> Iterator[OlderClient]:
        """Raises NotReadable for one whose lists are no lists."""
        for row in self._table("oauth_clients"):
            yield OlderClient(
                client_id=row["client_id"],
                name=row["name"] or row["client_id"],
                is_confidential=bool(row["is_confidential"]),
                is_active=bool(row["is_active"]),
                secret_hash=row["client_secret_hash"] or "",
                scopes=_words(row, "allowed_scopes"),
                grant_types=_words(row, "allowed_grant_types"),
                access_token_lifetime=row["access_token_lifetime"],
                refresh_token_lifetime=row["refresh_token_lifetime"],
            )

    def live_tokens(self, *, now: datetime) -> Iterator[OlderToken]:
        """Raises NotReadable."""
        for row in self._rows(_LIVE_TOKENS, now=now):
            try:
                yield _token(*row)
            except ValueError as error:
                # Without the row: whoever also has TOKEN_KEYS makes a token of its digest.
                raise NotReadable(f"a row of its table refresh_tokens holds what none of the older service's does: {error}") from None

    def tokens_ended_since(self, since: datetime, *, now: datetime) -> Iterator[bytes]:
        """SHA-256 of the jti of each that would still work if nobody had spent or revoked it since then."""
        for (digest,) in self._rows(_ENDED_TOKENS, since=since, now=now):
            yield _digest(digest)

    def ensure_it_is_one(self) -> None:
        """Raises NotReadable unless it has the tables and their columns."""
        with self._connection.cursor() as cursor:
            tables = set(self._connection.introspection.table_names(cursor))
            for table, columns in _COLUMNS.items():
                if table not in tables:
                    raise NotReadable(f"it has no table {table}, so it is not the older service's database")
                cursor.execute(f"SELECT * FROM {table} LIMIT 0")  # noqa: S608 - a name of ours
                there = {column[0] for column in cursor.description}
                if missing := sorted({*columns} - there):
                    raise NotReadable(f"its table {table} has no column {', '.join(missing)}, so it is not the older service's database")

    def _table(self, table: str) -> Iterator[dict[str, Any]]:
        columns = _COLUMNS[_known(table)]
        for row in self._rows(f"SELECT {', '.join(columns)} FROM {table}"):  # noqa: S608 - names of ours
            yield dict(zip(columns, row, strict=True))

    def _rows(self, sql: str, **instants: datetime) -> Iterator[Sequence[Any]]:
        parameters = {name: self._connection.ops.adapt_datetimefield_value(value) for name, value in instants.items()}
        with self._connection.chunked_cursor() as cursor:
            cursor.execute(sql, parameters)
            while rows := cursor.fetchmany(_BATCH):
                yield from rows


@contextmanager
def opened(url: str) -> Iterator[OlderDatabase]:
    """The database at `sqlite:////path/auth.db` or `postgresql://…`, as it is when this begins. Raises NotReadable."""
    connection = _connect(url)
    try:
        database = OlderDatabase(connection)
        try:
            connection.set_autocommit(False)
            database.ensure_it_is_one()
        except DatabaseError as error:
            # The driver's own words name the host, and no password.
            raise NotReadable(f"it cannot be opened: {str(error).strip().splitlines()[0]}") from error
        yield database
    finally:
        connection.close()


def _connect(url: str) -> BaseDatabaseWrapper:
    try:
        settings: dict[str, Any] = dict(dj_database_url.parse(url))
    except (ValueError, KeyError, dj_database_url.UnknownSchemeError):
        raise NotReadable("its URL must look like sqlite:////srv/older/auth.db or postgresql://user:password@host/name") from None
    match settings["ENGINE"]:
        case "django.db.backends.sqlite3":
            settings["NAME"] = f"file:{quote(str(settings['NAME']))}?mode=ro"
            settings["OPTIONS"] = {"uri": True}
        case "django.db.backends.postgresql":
            options = settings.setdefault("OPTIONS", {})
            options["isolation_level"] = IsolationLevel.REPEATABLE_READ  # all tables as of one instant, while the older service goes on
            options["options"] = f"{options.get('options', '')} -c default_transaction_read_only=on".strip()
        case engine:
            raise NotReadable(f"it is of {engine}, and only SQLite and PostgreSQL are read")
    handler = ConnectionHandler({"default": {}, "older": settings})
    connection: BaseDatabaseWrapper = handler["older"]
    return connection


def _words(row: dict[str, Any], column: str) -> tuple[str, ...]:
    """A JSON list, as text or as the driver read it."""
    value = row[column]
    try:
        words = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        words = None
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise NotReadable(f"{column} of the client {row['client_id']} is no JSON list of words")
    return tuple(words)


def _token(jti_hash: str, user_id: Any, client_id: str, scope: str | None, created_at: Any, expires_at: Any, began_at: Any) -> OlderToken:
    """Raises ValueError."""
    return OlderToken(
        jti_digest=_digest(jti_hash),
        user_id=uuid.UUID(str(user_id)),
        client_id=client_id,
        scopes=frozenset((scope or "").split()),
        created_at=clock.read(created_at),
        expires_at=clock.read(expires_at),
        began_at=clock.read(began_at),
    )


def _digest(jti_hash: str) -> bytes:
    """Raises ValueError, which does not quote it."""
    try:
        return bytes.fromhex(jti_hash)
    except ValueError:
        raise ValueError("a jti_hash is not in hex") from None


def _known(table: str) -> str:
    if table not in _COLUMNS:
        raise KeyError(table)
    return table
