"""What requests leave in the stores: rows, transactions and WAL of PostgreSQL, commands of Redis, and what a row takes."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

import psycopg
from redis import Redis

# PostgreSQL tells of transactions and rows up to a second late, at both ends of a window alike; of WAL bytes at once.
_COUNTERS = """
SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn AS wal_bytes, wal_records, wal_fpi AS page_images, wal_sync AS syncs,
    xact_commit AS transactions, tup_inserted AS rows_inserted, tup_updated AS rows_updated
FROM pg_stat_wal, pg_stat_database WHERE datname = current_database()
"""
COUNTED = ("wal_bytes", "wal_records", "page_images", "syncs", "transactions", "rows_inserted", "rows_updated", "redis_commands")
TABLES = {"session": "oauth_session", "audit_event": "accounts_auditevent", "user": "accounts_user"}
_SIZES = "SELECT count(*), pg_table_size('{0}'), pg_indexes_size('{0}') FROM {0}"
_ONE_A_PAGE = "SELECT (array_agg(id))[1] FROM oauth_session GROUP BY (ctid::text::point)[0] ORDER BY count(*) DESC LIMIT 20"
_IN_PLACE = "UPDATE oauth_session SET refreshed_at = refreshed_at WHERE id = %s"


@contextmanager
def counted(database_url: str, redis_url: str) -> Iterator[dict[str, float]]:
    """By the names of COUNTED how much more there is at the end of the block; filled in then."""
    increase: dict[str, float] = {}
    with psycopg.connect(database_url, autocommit=True) as database, Redis.from_url(redis_url, decode_responses=True) as redis:
        before = _counters(database, redis)
        yield increase
        after = _counters(database, redis)
    increase.update({name: after[name] - before[name] for name in COUNTED})


def bytes_per_row(database_url: str) -> dict[str, dict[str, float]]:
    """Of each table that grows, its rows, and the bytes of one with its share of the page, and in all indexes."""
    found = {}
    with psycopg.connect(database_url, autocommit=True) as database:
        for name, table in TABLES.items():
            rows, heap, indexes = _row(database, _SIZES.format(table))
            found[name] = {"rows": rows, "table_bytes": round(heap / max(1, rows)), "index_bytes": round(indexes / max(1, rows))}
    return found


def updates_in_place(database_url: str) -> dict[str, float]:
    """Bytes of WAL of an UPDATE of a session: the first one of its page after a checkpoint, which holds the page, and the one after it."""
    found = {}
    with psycopg.connect(database_url, autocommit=True) as database:
        for compression in ("off", "pglz"):
            database.execute(f"SET wal_compression = {compression}")
            ids = [row[0] for row in database.execute(_ONE_A_PAGE).fetchall()]
            database.execute("CHECKPOINT")  # after the pages were read: reading tidies them up, which is a change too
            found[f"first_after_checkpoint_{compression}"] = median(_wal_of_update(database, each) for each in ids)
            found[f"later_{compression}"] = median(_wal_of_update(database, each) for each in ids)
    return found


def connections_of(database_url: str) -> int:
    """That are open to this database, but for the one that asks."""
    with psycopg.connect(database_url) as database:
        return int(
            _row(database, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")[0]
        )


def synced_writes_per_second(seconds: float) -> float:
    """Of one writer that syncs 8 KiB after 8 KiB, on the disk of temporary files, where the database is too."""
    with tempfile.TemporaryFile(dir="/tmp") as file:
        block, times, began_at = b"x" * 8192, 0, time.perf_counter()
        while (duration := time.perf_counter() - began_at) < seconds:
            os.pwrite(file.fileno(), block, 8192 * (times % 2048))
            os.fdatasync(file.fileno())
            times += 1
    return times / duration


def _counters(database: psycopg.Connection[Any], redis: Redis) -> dict[str, float]:
    cursor = database.execute(_COUNTERS)
    names = [column.name for column in cursor.description or ()]
    calls = sum(each["calls"] for name, each in redis.info("commandstats").items() if name != "cmdstat_info")
    return {**{name: float(value) for name, value in zip(names, cursor.fetchone() or (), strict=True)}, "redis_commands": calls}


def _wal_of_update(database: psycopg.Connection[Any], session_id: object) -> float:
    position = "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"
    before = _row(database, position)[0]
    database.execute(_IN_PLACE, [session_id])
    return float(_row(database, position)[0] - before)


def _row(database: psycopg.Connection[Any], statement: str) -> tuple[Any, ...]:
    row = database.execute(statement).fetchone()
    assert row is not None
    return tuple(row)
