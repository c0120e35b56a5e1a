"""Remove sessions that nothing can come back from: the one place where rows of sessions are deleted.

There is no index on expires_at, because a refresh writes it: so all rows are looked at, a batch at a time. PostgreSQL goes through
the pages of the table as they lie on the disk, and SQLite through the primary key. A row that is written elsewhere meanwhile may
be missed; the next round finds it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from django.db import connection

from accounts import clock, statements

PAGES = 16  # of 8 KB, with some 25 sessions in each: about a millisecond
ROWS = 1000  # of SQLite
_TABLE = "oauth_session"


@dataclass(frozen=True)
class Pruned:
    """What came of one batch."""

    looked_at: int
    removed: int


def prune(*, keep: timedelta) -> Iterator[Pruned]:
    """Remove the sessions that expired longer than `keep` ago, batch by batch, each in a transaction of its own."""
    # SECURITY: expiry alone decides, for revoked sessions too: while a session could have lived on, a token of it
    # that was spent or stolen has to be known for what it is when it turns up.
    is_over = f"expires_at < {clock.instant_sql('expired')}"
    walk = _by_pages if connection.vendor == "postgresql" else _by_keys
    return walk(is_over, keep=keep)


def _by_pages(is_over: str, *, keep: timedelta) -> Iterator[Pruned]:
    """Each page is written once at most, in order. By the primary key, which is random, it would be written for each row.

    A range of ctid is asked of each part of a table that is in parts.
    """
    # A crash that loses the newest of these commits brings back sessions that nobody can use: so no one waits for the disk.
    sql = f"""
        WITH gone AS (DELETE FROM {_TABLE} WHERE ctid >= %(first)s::tid AND ctid < %(end)s::tid AND {is_over} RETURNING 1)
        SELECT (SELECT count(*) FROM {_TABLE} WHERE ctid >= %(first)s::tid AND ctid < %(end)s::tid), (SELECT count(*) FROM gone),
            set_config('synchronous_commit', 'off', true)"""  # noqa: S608 - composed of constants
    parts, pages = statements.pages_of(_TABLE)
    step = max(1, PAGES // max(1, parts))
    for first in range(0, pages, step):
        expired = clock.instant_parameter(plus=-keep)
        [(looked_at, removed, _)] = statements.fetch(sql, {"first": f"({first},0)", "end": f"({first + step},0)", "expired": expired})
        yield Pruned(looked_at, removed)


def _by_keys(is_over: str, *, keep: timedelta) -> Iterator[Pruned]:
    look = f"SELECT id, {is_over} FROM {_TABLE} WHERE id > %(last)s ORDER BY id LIMIT {ROWS}"  # noqa: S608 - composed of constants
    remove = f"DELETE FROM {_TABLE} WHERE id > %(first)s AND id <= %(last)s AND {is_over}"  # noqa: S608 - composed of constants
    last = ""
    while batch := statements.fetch(look, {"last": last, "expired": clock.instant_parameter(plus=-keep)}):
        first, last = last, batch[-1][0]
        removed = 0
        if any(over for _, over in batch):
            removed = statements.execute(remove, {"first": first, "last": last, "expired": clock.instant_parameter(plus=-keep)})
        yield Pruned(len(batch), removed)
