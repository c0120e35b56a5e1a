"""Fill a database with as many users and sessions as a service has after years, by statements of the database's own."""

import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from oauth.refresh_tokens import session_id
from tests.bench import kinds
from tests.bench.server import settle

MADE_BEFORE = 64  # users that fill.py has made, whose hash the others get
BATCH, WRITERS = 250_000, 2
_USERS = """
INSERT INTO accounts_user (id, password, is_superuser, username, username_canonical, email, email_canonical, name, is_active, is_staff,
    session_epoch, created_at)
SELECT md5('user ' || n)::uuid, made.password, false, 'bench-' || n, 'bench-' || n, 'bench-' || n || '@example.com',
    'bench-' || n || '@example.com', 'Bench ' || n, true, false, 0, now() - (%(users)s - n) * interval '30 seconds'
FROM generate_series(%(first)s::bigint, %(last)s) n, (SELECT password FROM accounts_user WHERE username = 'bench-0') made
"""
# As rows come in over a year. A live session was refreshed within the last four weeks; one that has ended did so more than a month ago.
# Users have their sessions far apart in the table, and those that have ended lie evenly among the others: the hardest case for
# those who remove them.
_SESSIONS = """
INSERT INTO oauth_session (id, user_id, user_epoch, client_id, scope, generation, created_at, refreshed_at, expires_at, retry_digest,
    revoked_reason, auth_time, amr, address, user_agent)
SELECT md5('session ' || n)::uuid, md5('user ' || %(made_before)s + (n * 7919) %% (%(users)s - %(made_before)s))::uuid, 0, client.id,
    'api:read api:write', (random() * 200)::int, least(opened_at, used_at), used_at, used_at + interval '30 days', sha256(n::text::bytea),
    '', least(opened_at, used_at), 'pwd', ('198.51.' || n %% 100 || '.' || n %% 250)::inet, 'Bench/1 (Telephone ' || n %% 40 || '; en)'
FROM (
    SELECT n, now() - (1 - n / %(rows)s::float8) * interval '365 days' AS opened_at,
        now() - random() * interval '28 days' - CASE WHEN n %% %(every)s = 0 THEN interval '62 days' ELSE interval '0' END AS used_at
    FROM generate_series(%(first)s::bigint, %(last)s) n
) AS drawn, (SELECT id FROM oauth_client WHERE client_id = %(client)s) client
"""
_INDEXES = """
SELECT COALESCE('ALTER TABLE oauth_session DROP CONSTRAINT ' || c.conname, 'DROP INDEX ' || i.indexrelid::regclass),
    COALESCE('ALTER TABLE oauth_session ADD CONSTRAINT ' || c.conname || ' ' || pg_get_constraintdef(c.oid), pg_get_indexdef(i.indexrelid))
FROM pg_index i LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid AND c.contype = 'p' WHERE i.indrelid = 'oauth_session'::regclass
"""
_RENAME = """
UPDATE oauth_session SET id = pair.new FROM unnest(%s::uuid[], %s::uuid[]) AS pair (old, new) WHERE oauth_session.id = pair.old
"""


@dataclass(frozen=True)
class Crowd:
    """How many there are to be. `ended` sessions, beside the live ones, are past the time for which they are kept."""

    users: int
    sessions: int
    ended: int = 0

    @property
    def rows(self) -> int:
        return self.sessions + self.ended

    @property
    def every(self) -> int:
        """Each session whose number this divides has ended."""
        return self.rows // self.ended if self.ended else self.rows + 1


def fill_users(url: str, crowd: Crowd, *, say: Callable[[str], None]) -> None:
    for last in _insert(url, _USERS, {"users": crowd.users}, first=MADE_BEFORE, last=crowd.users - 1):
        say(f"{last + 1} of {crowd.users} users")


def fill_sessions(url: str, crowd: Crowd, *, say: Callable[[str], None]) -> None:
    """Into an empty table that nobody asks meanwhile. Ends with nothing left to be vacuumed or written."""
    common = {"users": crowd.users, "rows": crowd.rows, "every": crowd.every, "client": kinds.PUBLIC_CLIENT, "made_before": MADE_BEFORE}
    with _filling(url) as connection:
        connection.execute("TRUNCATE oauth_session")
        with _without_indexes(connection, say=say):
            for last in _insert(url, _SESSIONS, common, first=1, last=crowd.rows):
                say(f"{last} of {crowd.rows} sessions")
    say("vacuum")
    settle(url)


def known_sessions(url: str, crowd: Crowd, *, number: int) -> list[bytes]:
    """The handles of so many live sessions, evenly spread over the table: rows of the fill whose id becomes that of a handle."""
    step = crowd.rows // number
    chosen = [each + 1 if each % crowd.every == 0 else each for each in range(1, number * step + 1, step)]
    handles = [secrets.token_bytes(16) for _ in chosen]
    with psycopg.connect(url) as connection:
        old = connection.execute("SELECT md5('session ' || n)::uuid FROM unnest(%s::bigint[]) n", [chosen]).fetchall()
        renamed = connection.execute(_RENAME, [[row[0] for row in old], [session_id(handle) for handle in handles]]).rowcount
    if renamed != number:
        raise RuntimeError(f"{renamed} of {number} sessions were found in the fill")
    settle(url)
    return handles


@contextmanager
def _filling(url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")  # no foreign key is looked up for each row
        connection.execute("SET synchronous_commit = off")
        connection.execute("SET maintenance_work_mem = '1GB'")
        yield connection


def _insert(url: str, sql: str, parameters: dict[str, Any], *, first: int, last: int) -> Iterator[int]:
    """By several connections at once, each of which takes a core; the number of the last row of each batch, when it is there."""

    def insert(start: int) -> int:
        end = min(last, start + BATCH - 1)
        with _filling(url) as connection:
            connection.execute(sql, parameters | {"first": start, "last": end})
        return end

    with ThreadPoolExecutor(WRITERS) as pool:
        yield from pool.map(insert, range(first, last + 1, BATCH))


@contextmanager
def _without_indexes(connection: psycopg.Connection, *, say: Callable[[str], None]) -> Iterator[None]:
    """To make them once takes far less than to keep them up with every row."""
    indexes = connection.execute(_INDEXES).fetchall()
    for drop, _ in indexes:
        connection.execute(drop)
    yield
    for _, make in indexes:
        say(make.partition(" USING")[0])
        connection.execute(make)
