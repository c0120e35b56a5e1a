"""Carry out raw SQL, for the statements that the ORM cannot say, or composes anew at a price that each sign-in or refresh would pay."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

from django.db import connection

_PARTS = """
    WITH RECURSIVE tree (id) AS (
        SELECT %(table)s::regclass::oid UNION ALL SELECT inhrelid FROM pg_inherits JOIN tree ON inhparent = tree.id
    ), parts AS (SELECT * FROM pg_class JOIN tree ON oid = tree.id WHERE relkind = 'r')"""


@dataclass(frozen=True, repr=False)
class Insert:
    """A row that is to be written: `INSERT INTO … SELECT …`, so that ` FROM` another statement's rows may follow."""

    sql: str
    parameters: Mapping[str, Any]

    def execute(self) -> None:
        execute(self.sql, self.parameters)


@cache
def vendor() -> str:
    """postgresql or sqlite: a process has one database.

    Asked each time, the connection would first be looked for in its thread, 30 times in a sign-in.
    """
    return connection.vendor


def fetch(sql: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """All rows of the statement."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def fetch_one(sql: str, parameters: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """The statement's first row, if there is one."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        row: tuple[Any, ...] | None = cursor.fetchone()
        return row


def execute(sql: str, parameters: Mapping[str, Any]) -> int:
    """How many rows the statement wrote."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return int(cursor.rowcount)


def uuid_parameter(value: UUID | None) -> Any:
    """The value of a parameter for a column of UUIDs: SQLite has them as 32 hexadecimal digits."""
    return value if value is None or vendor() == "postgresql" else value.hex


def estimated_rows(table: str) -> int | None:
    """How many rows the table has in all of its partitions, as PostgreSQL last saw; None on SQLite, which keeps no such number."""
    if vendor() != "postgresql":
        return None
    sql = f"{_PARTS} SELECT coalesce(sum(greatest(reltuples, 0)), 0)::bigint FROM parts"  # noqa: S608 - composed of constants
    [(rows,)] = fetch(sql, {"table": table})
    return int(rows)


def pages_of(table: str) -> tuple[int, int]:
    """Of how many parts the table is (one, unless it is partitioned), and how many pages the largest of them has. PostgreSQL only."""
    pages = "pg_relation_size(oid) / current_setting('block_size')::int"
    sql = f"{_PARTS} SELECT count(*), coalesce(max({pages}), 0) FROM parts"  # noqa: S608 - composed of constants
    [(parts, pages)] = fetch(sql, {"table": table})
    return int(parts), int(pages)
