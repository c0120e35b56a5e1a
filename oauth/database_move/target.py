"""The database that is moved into: whether it is empty, made ready, filled, and its counters set on."""

from collections.abc import Iterable
from importlib import import_module
from itertools import islice

from django.core.management import call_command
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.recorder import MigrationRecorder

from oauth.database_move.databases import NotUsable, pending_migrations, unknown_migrations
from oauth.database_move.tables import BATCH, Row, Table

# What migrations write into a new database by themselves. It gives way to the same of the old one, whose ids other rows hold.
FILLED_BY_MIGRATIONS = ("auth_group_permissions", "auth_group", "auth_permission", "django_content_type")
_MIGRATIONS = MigrationRecorder.Migration._meta.db_table
_ROLES_OF_STAFF = "oauth.migrations.0006_roles_of_staff"


def ensure_empty(connection: BaseDatabaseWrapper, *, tables: list[Table]) -> None:
    """Raises NotUsable, which names what is there."""
    there = {*connection.introspection.table_names()}
    if foreign := unknown_tables(connection, tables=tables):
        raise NotUsable(f"it holds tables of something else: {', '.join(foreign)}. Give it a database of its own")
    full = {table.name: table.count(connection) for table in tables if table.name in there and table.name not in FILLED_BY_MIGRATIONS}
    if found := [f"{name} has {count:,}" for name, count in full.items() if count]:
        raise NotUsable(f"it is not empty, and nothing in it was touched. Rows: {', '.join(found)}")
    if there and (unknown := unknown_migrations(connection)):
        raise NotUsable(f"it was migrated by another version, which knows {', '.join(unknown)}")
    if {"auth_group", "auth_group_permissions"} <= there and (groups := _groups_of_somebody(connection)):
        raise NotUsable(f"it is not empty, and nothing in it was touched. Groups that somebody made or changed: {', '.join(groups)}")


def unknown_tables(connection: BaseDatabaseWrapper, *, tables: list[Table]) -> list[str]:
    """Tables that no app of this server has."""
    there = {name for name in connection.introspection.table_names() if not name.startswith("sqlite_")}
    return sorted(there - {table.name for table in tables} - {_MIGRATIONS})


def migrate(connection: BaseDatabaseWrapper) -> None:
    """Bring it up to date, if it is not."""
    if pending_migrations(connection):
        call_command("migrate", database=connection.alias, interactive=False, verbosity=0)


def clear(connection: BaseDatabaseWrapper) -> None:
    """Remove what migrations have filled in."""
    with connection.cursor() as cursor:
        for name in FILLED_BY_MIGRATIONS:
            cursor.execute(f"DELETE FROM {connection.ops.quote_name(name)}")  # noqa: S608 - names of ours


def fill(connection: BaseDatabaseWrapper, table: Table, rows: Iterable[Row]) -> None:
    columns, name = table.column_list(connection), connection.ops.quote_name(table.name)
    with connection.cursor() as cursor, connection.wrap_database_errors:
        if connection.vendor == "postgresql":
            with cursor.copy(f"COPY {name} ({columns}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
            return
        places = ", ".join(["%s"] * len(table.columns))
        sql, left = f"INSERT INTO {name} ({columns}) VALUES ({places})", iter(rows)  # noqa: S608 - names of ours
        while batch := [table.for_sqlite(row) for row in islice(left, BATCH)]:
            cursor.executemany(sql, batch)


def last_given(connection: BaseDatabaseWrapper, table: Table) -> int:
    """The highest value that a row of this table has or, if the database counted it out, ever had."""
    column, name = connection.ops.quote_name(table.serial or ""), connection.ops.quote_name(table.name)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT coalesce(max({column}), 0) FROM {name}")  # noqa: S608 - names of ours
        [highest] = cursor.fetchone()
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_get_serial_sequence(%s, %s)", [table.name, table.serial])
            [sequence] = cursor.fetchone()
            cursor.execute(f"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {sequence}")  # noqa: S608 - quoted by the database
        else:
            cursor.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = %s", [table.name])
        [counted] = cursor.fetchone()
        return max(int(highest), int(counted))


def count_on_from(connection: BaseDatabaseWrapper, table: Table, value: int) -> None:
    """Let the next row of this table have a value above this one."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT setval(pg_get_serial_sequence(%s, %s), %s)", [table.name, table.serial, value])
        else:
            cursor.execute("DELETE FROM sqlite_sequence WHERE name = %s", [table.name])
            cursor.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (%s, %s)", [table.name, value])


def analyze(connection: BaseDatabaseWrapper, *, tables: list[Table]) -> None:
    """Let the planner know of the rows at once."""
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"ANALYZE {connection.ops.quote_name(table.name)}")


def _groups_of_somebody(connection: BaseDatabaseWrapper) -> list[str]:
    """Groups that are not as the migrations make them."""
    made: dict[str, set[str]] = {name: {*permissions} for name, permissions in import_module(_ROLES_OF_STAFF).ROLES.items()}
    sql = """
        SELECT auth_group.name, app_label, codename FROM auth_group
        LEFT JOIN auth_group_permissions ON group_id = auth_group.id
        LEFT JOIN auth_permission ON auth_permission.id = permission_id
        LEFT JOIN django_content_type ON django_content_type.id = content_type_id"""
    found: dict[str, set[str]] = {}
    with connection.cursor() as cursor:
        cursor.execute(sql)
        for name, app, codename in cursor.fetchall():
            found.setdefault(name, set()).update({f"{app}.{codename}"} if codename else ())
    return sorted(name for name, permissions in found.items() if made.get(name) != permissions)
