"""The two databases of a move: opened beside the server's own, and held still while it lasts."""

import copy
import re
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import dj_database_url
from django.conf import settings as server_settings
from django.db import DatabaseError, OperationalError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from psycopg import IsolationLevel

SOURCE, TARGET = "move_source", "move_target"
LOCK_SECONDS = 3
# Of a move, however long it takes; a lock is not waited for for long, so that who holds it is noticed.
_PATIENT = f"-c statement_timeout=0 -c idle_in_transaction_session_timeout=0 -c lock_timeout={LOCK_SECONDS * 1000}"
# The driver gives what is stored: where it converts, it makes None of an instant that it cannot read.
_ON_SQLITE = {"timeout": LOCK_SECONDS, "detect_types": 0}
# What PostgreSQL says of a value that a column does not take may quote the value; where it stood does not.
_PLACE = re.compile(r"COPY (\w+), line (\d+)(?:, column (\w+))?")
_DATA_EXCEPTION = "22"
# What SQLite's driver says of text that is not UTF-8 quotes the text.
_NOT_UTF8 = re.compile(r"Could not decode to UTF-8 column '([^']*)'")


class NotUsable(Exception):
    """One of the two cannot be moved from or to. The message tells a person what to do, and holds neither a password nor a value."""


def settings_of(url: str) -> dict[str, Any]:
    """The database at `sqlite:///data/auth.db` or `postgresql://…` as Django's settings. Raises NotUsable."""
    try:
        settings: dict[str, Any] = dict(dj_database_url.parse(url))
    except (ValueError, KeyError, dj_database_url.UnknownSchemeError):
        raise NotUsable("its URL must look like postgresql://user:password@host/name or sqlite:///data/auth.db") from None
    return settings


@contextmanager
def source_opened(settings: dict[str, Any]) -> Iterator[BaseDatabaseWrapper]:
    """The database that is left. Raises NotUsable."""
    settings = copy.deepcopy(settings)
    match settings["ENGINE"]:
        case "django.db.backends.sqlite3":
            if not Path(settings["NAME"]).is_file():
                raise NotUsable(f"there is no file {settings['NAME']}")
            # In this mode a lock is got while nobody else has the file open, and with it nobody else can open it.
            settings["OPTIONS"] = _ON_SQLITE | {"transaction_mode": "EXCLUSIVE", "init_command": "PRAGMA locking_mode=EXCLUSIVE"}
        case "django.db.backends.postgresql":
            _make_patient(settings)["isolation_level"] = IsolationLevel.REPEATABLE_READ  # every table as of one instant
    with _opened(SOURCE, settings) as connection:
        yield connection


@contextmanager
def target_opened(settings: dict[str, Any]) -> Iterator[BaseDatabaseWrapper]:
    """The database that is moved into. Raises NotUsable."""
    settings = copy.deepcopy(settings)
    match settings["ENGINE"]:
        case "django.db.backends.sqlite3":
            settings["NAME"] = server_settings.BASE_DIR / settings["NAME"]
            settings["OPTIONS"] = _ON_SQLITE | {"transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL"}
        case "django.db.backends.postgresql":
            _make_patient(settings)
        case engine:
            raise NotUsable(f"it is of {engine}, and only SQLite and PostgreSQL are supported")
    with _opened(TARGET, settings) as connection:
        yield connection


@contextmanager
def held_still(connection: BaseDatabaseWrapper, *, tables: Collection[str], mode: str) -> Iterator[None]:
    """One transaction in which nobody else writes these tables; `mode` is that of PostgreSQL's lock. Raises NotUsable.

    On SQLite the transaction itself keeps writers out, by how the database was opened.
    """
    with transaction.atomic(using=connection.alias):
        if connection.vendor == "postgresql":
            names = ", ".join(map(connection.ops.quote_name, sorted(tables)))
            with connection.cursor() as cursor:
                try:
                    cursor.execute(f"LOCK TABLE {names} IN {mode} MODE")
                except OperationalError as error:
                    raise NotUsable(f"somebody is writing to it: stop the server first ({told(error)})") from error
        yield


def ensure_alone(connection: BaseDatabaseWrapper) -> None:
    """Raises NotUsable while somebody else is connected: a server that goes on would write where nobody looks any more."""
    if connection.vendor != "postgresql":
        _ensure_nobody_has_it_open(connection)
        return
    deadline = time.monotonic() + LOCK_SECONDS  # connections that were closed just now take a moment to end
    while (others := _others(connection)) and time.monotonic() < deadline:
        time.sleep(0.1)
    if others:
        raise NotUsable(f"others are connected to it ({others}): stop the server, and close what else is open there")


def unknown_migrations(connection: BaseDatabaseWrapper) -> list[str]:
    """Migrations that were carried out there and that this version does not know, nor another migration of it replaces."""
    loader = MigrationLoader(connection)
    known = {*loader.disk_migrations} | {key for migration in loader.disk_migrations.values() for key in migration.replaces}
    apps = {app for app, _ in known}
    return sorted(f"{app}.{name}" for app, name in loader.applied_migrations if app in apps and (app, name) not in known)


def pending_migrations(connection: BaseDatabaseWrapper) -> list[str]:
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [f"{migration.app_label}.{migration.name}" for migration, _ in plan]


def told(error: DatabaseError) -> str:
    """What is wrong, without the rows that it was about and without the password of the connection."""
    cause = error.__cause__ or error
    if (getattr(cause, "sqlstate", None) or "").startswith(_DATA_EXCEPTION):
        place = _PLACE.search(str(cause))
        where = f"{place[1]}, row {place[2]} of it" + (f", column {place[3]}" if place[3] else "") if place else "a column"
        return f"{where}: it does not take this value (SQLSTATE {cause.sqlstate})"  # type: ignore[attr-defined]
    if column := _NOT_UTF8.search(str(cause)):
        return f"column {column[1]} holds text that is not UTF-8"
    text = str(error).strip().splitlines()[0]
    for settings in (connections.settings[alias] for alias in (SOURCE, TARGET) if alias in connections.settings):
        for password in (settings["PASSWORD"], settings["OPTIONS"].get("password")):
            for spelling in {password, quote(password), quote(password, safe="")} if password else ():
                text = text.replace(spelling, "***")
    return text


def name_of(settings: dict[str, Any]) -> str:
    """The database in words, without its password."""
    if settings["ENGINE"].endswith("sqlite3"):
        return f"SQLite, {settings['NAME']}"
    port = f":{settings['PORT']}" if settings.get("PORT") else ""
    return f"PostgreSQL, {settings['NAME']} on {settings.get('HOST') or 'this machine'}{port}"


def _make_patient(settings: dict[str, Any]) -> dict[str, Any]:
    """The options of a connection to PostgreSQL that waits for long statements, and not for locks."""
    options: dict[str, Any] = settings.setdefault("OPTIONS", {})
    options["options"] = f"{options.get('options', '')} {_PATIENT}".strip()
    options.setdefault("connect_timeout", 5)
    return options


@contextmanager
def _opened(alias: str, settings: dict[str, Any]) -> Iterator[BaseDatabaseWrapper]:
    # Among Django's connections, because migrations are carried out by the name of one.
    connections.settings[alias] = connections.configure_settings({"default": {}, alias: settings})[alias]
    connection: BaseDatabaseWrapper = connections[alias]
    try:
        try:
            connection.ensure_connection()
        except DatabaseError as error:
            raise NotUsable(f"it cannot be opened: {told(error)}") from error
        yield connection
    finally:
        connection.close()
        del connections[alias]
        del connections.settings[alias]


def _ensure_nobody_has_it_open(connection: BaseDatabaseWrapper) -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM sqlite_master")
    except OperationalError as error:
        if "locked" not in str(error):
            raise
        raise NotUsable(f"others have it open: stop the server, and close what else has ({told(error)})") from error


def _others(connection: BaseDatabaseWrapper) -> int:
    with connection.cursor() as cursor:
        # Of another role's connection PostgreSQL shows neither kind nor state; but who has no role is at work for PostgreSQL itself.
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND usesysid IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend'"
        )
        return int(cursor.fetchone()[0])
