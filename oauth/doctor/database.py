"""The database as the server finds it: there, migrated, with the same time, with limits, cleaned up, with room."""

import re
import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from accounts import clock, statements
from oauth.doctor.findings import Finding, fail, ok, warn

SLOW_SECONDS = 0.05
SLOWEST_LIMIT_MS = 10_000
FREE_WARN_BYTES, FREE_FAIL_BYTES = 1 << 30, 200 << 20
MIGRATIONS_NAMED = 5
SESSION_TABLE = ("fillfactor=70", "autovacuum_vacuum_scale_factor=0.02", "autovacuum_analyze_scale_factor=0.02")


def database() -> Iterator[Finding]:
    """Whether it answers, how fast, and whether it takes writes."""
    connection.ensure_connection()
    began_at = time.perf_counter()
    is_postgresql = connection.vendor == "postgresql"
    [(read_only,)] = statements.fetch("SHOW transaction_read_only" if is_postgresql else "SELECT 'off'", {})
    seconds = time.perf_counter() - began_at
    yield judge_database(seconds, name=connection.display_name, is_read_only=read_only == "on")


def judge_database(seconds: float, *, name: str, is_read_only: bool) -> Finding:
    """`seconds`: what a question took."""
    if is_read_only:
        mend = "It is a replica. Lead AUTH_SERVICE__DB_URL to the primary, and restart the server."
        return fail("database", "It takes no writes.", mend=mend)
    if seconds > SLOW_SECONDS:
        mend = "A refresh asks once: bring the database nearer, or look at what else it does."
        return warn("database", f"A question takes {seconds * 1000:.0f} ms.", mend=mend)
    return ok("database", f"{name} answers in {seconds * 1000:.1f} ms, and takes writes.")


def migrations() -> Iterator[Finding]:
    executor = MigrationExecutor(connection)
    waiting = [f"{migration.app_label}.{migration.name}" for migration, _ in executor.migration_plan(executor.loader.graph.leaf_nodes())]
    yield judge_migrations(waiting)


def judge_migrations(waiting: list[str]) -> Finding:
    if not waiting:
        return ok("migrations", "All are applied.")
    named, others = ", ".join(waiting[:MIGRATIONS_NAMED]), len(waiting) - MIGRATIONS_NAMED
    found = f"Not applied: {named}, and {others} more." if others > 0 else f"Not applied: {named}."
    return fail("migrations", found, mend="Run manage.py migrate, and restart the server.")


def clocks() -> Iterator[Finding]:
    """The process's against the database's: both stamp, and each trusts the other up to CLOCK_SKEW."""
    if connection.vendor != "postgresql":
        yield ok("clocks", "SQLite has none of its own: the process's counts.")
        return
    before = clock.now()
    of_database = clock.database_now()
    after = clock.now()
    yield judge_clocks(of_database - (before + (after - before) / 2), allowed=settings.CLOCK_SKEW)


def judge_clocks(apart: timedelta, *, allowed: timedelta) -> Finding:
    """`apart`: by how much the database's is ahead."""
    seconds = apart.total_seconds()
    found = (
        f"The database's is {abs(seconds):.2f} s {'ahead of' if seconds > 0 else 'behind'} this machine's; {allowed.seconds} s are allowed."
    )
    mend = "Let both machines keep time (timedatectl, chrony). AUTH_SERVICE__CLOCK_SKEW says how much is allowed."
    if abs(apart) > allowed:
        return fail("clocks", found, mend=mend)
    return warn("clocks", found, mend=mend) if abs(apart) > max(allowed / 4, timedelta(seconds=1)) else ok("clocks", found)


def limits() -> Iterator[Finding]:
    """How long a statement may run, and wait, on a connection as a serving process makes it."""
    if connection.vendor != "postgresql":
        yield ok("limits", "SQLite has none; a writer waits for five seconds.")
        return
    mine = connection.copy()
    options = mine.settings_dict["OPTIONS"]
    if not settings.DB_BEHIND_POOLER:
        options["options"] = f"{options.get('options', '')} {settings.DATABASE_LIMITS}".strip()
    with closing(mine), mine.cursor() as cursor:
        cursor.execute("SELECT name, setting::int FROM pg_settings WHERE name IN ('statement_timeout', 'lock_timeout')")
        actual = dict(cursor.fetchall())
    asked = {name: int(value) for name, value in re.findall(r"(\w+_timeout)=(\d+)", settings.DATABASE_LIMITS)}
    yield judge_limits(actual, asked=asked)


def judge_limits(actual: dict[str, int], *, asked: dict[str, int]) -> Finding:
    """In milliseconds; 0 is none at all."""
    found = ", ".join(f"{name} is {actual[name]} ms" if actual[name] else f"{name} is not set" for name in sorted(actual)) + "."
    mend = (
        "The server asks for both when it connects, and something in between drops that, a pooler perhaps. "
        "Set them for the role: ALTER ROLE … SET statement_timeout = '2s'; ALTER ROLE … SET lock_timeout = '1s'."
    )
    if not all(actual.values()) or max(actual.values()) > SLOWEST_LIMIT_MS:
        return fail("limits", found, mend=mend)
    return ok("limits", found) if actual == asked else warn("limits", found, mend=mend)


def autovacuum() -> Iterator[Finding]:
    """Whether PostgreSQL cleans up, by the parameters that the migrations gave the database and the table of sessions, in all its parts."""
    if connection.vendor != "postgresql":
        yield ok("autovacuum", "SQLite needs none.")
        return
    [(is_on, counts)] = statements.fetch("SELECT current_setting('autovacuum'), current_setting('track_counts')", {})
    if (is_on, counts) != ("on", "on"):
        mend = "Set autovacuum = on and track_counts = on in postgresql.conf, and reload it."
        yield fail("autovacuum", f"autovacuum is {is_on}, track_counts is {counts}: tables grow without end.", mend=mend)
        return
    sql = """
        SELECT relname, coalesce(reloptions, '{}') FROM pg_class
        WHERE relkind = 'r'
          AND (oid = 'oauth_session'::regclass OR oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'oauth_session'::regclass))
        ORDER BY relname"""
    tables = {name: list(options) for name, options in statements.fetch(sql, {})}
    # A vacuum has what is set for the database or the server, and nothing that is a role's or a connection's own. What the database had
    # when this connection was made may be over.
    sql = """
        SELECT quote_ident(d.datname) FROM pg_database d, pg_settings s
        WHERE d.datname = current_database() AND s.name = 'backend_flush_after' AND s.max_val <> '0'
          AND (s.setting = '0' OR s.source IN ('client', 'session', 'user', 'database user', 'database'))
          AND NOT EXISTS (
            SELECT 1 FROM pg_db_role_setting, unnest(setconfig) AS given
            WHERE setdatabase = d.oid AND setrole = 0 AND given LIKE 'backend_flush_after=%%' AND given <> 'backend_flush_after=0')"""
    gathers = statements.fetch_one(sql, {})
    yield judge_cleaning(tables, gathers=gathers[0] if gathers else "")


def judge_cleaning(tables: dict[str, list[str]], *, gathers: str = "") -> Finding:
    """`tables`: the storage parameters of each. `gathers`: the database, quoted, if the system is left to write what a vacuum changes."""
    off = [name for name, options in tables.items() if {"autovacuum_enabled=false", "autovacuum_enabled=off"} & {*options}]
    if off:
        mend = f"ALTER TABLE {off[0]} RESET (autovacuum_enabled);"
        return fail("autovacuum", f"It is switched off for {', '.join(off)}.", mend=mend)
    lacking = [name for name, options in tables.items() if not {*SESSION_TABLE} <= {*options}]
    if lacking:
        mend = f"ALTER TABLE {lacking[0]} SET ({', '.join(SESSION_TABLE)}); it makes room for refreshes in place, and is done at once."
        return warn("autovacuum", f"The parameters of {', '.join(lacking)} are not those of the migrations.", mend=mend)
    if gathers:
        mend = f"As its owner: ALTER DATABASE {gathers} SET backend_flush_after = '256kB'; new connections have it."
        return warn("autovacuum", "What a vacuum writes is gathered and written at once, and refreshes wait for that.", mend=mend)
    return ok("autovacuum", "It is on, and the table of sessions and the database have their parameters.")


def disk() -> Iterator[Finding]:
    """Room for what is written. Of a PostgreSQL on another machine only its own size can be known."""
    if connection.vendor == "postgresql":
        [(size,)] = statements.fetch("SELECT pg_database_size(current_database())", {})
        yield ok("disk", f"The database takes {_megabytes(size)}. How much is left, its own machine knows.")
        return
    path = Path(str(connection.settings_dict["NAME"]))
    yield judge_disk(shutil.disk_usage(path.parent).free, folder=str(path.parent), taken=path.stat().st_size)


def judge_disk(free: int, *, folder: str, taken: int) -> Finding:
    """Sizes in bytes."""
    found = f"{_megabytes(free)} are left in {folder}, where sessions and audit lie; the database takes {_megabytes(taken)}."
    mend = "Make room: a full disk refuses every sign-in and every refresh. manage.py prune removes what is past its time."
    if free < FREE_FAIL_BYTES:
        return fail("disk", found, mend=mend)
    return warn("disk", found, mend=mend) if free < FREE_WARN_BYTES else ok("disk", found)


def _megabytes(size: int) -> str:
    return f"{size / (1 << 20):,.0f} MB"
