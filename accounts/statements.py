"""Carry out raw SQL, for the statements that the ORM cannot say, or composes anew at a price that each sign-in or refresh would pay."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import connection


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
    return value if value is None or connection.features.has_native_uuid_field else value.hex


def estimated_rows(table: str) -> int | None:
    """How many rows the table has in all of its partitions, as PostgreSQL last saw; None on SQLite, which keeps no such number."""
    if connection.vendor != "postgresql":
        return None
    sql = """
        SELECT coalesce(sum(greatest(reltuples, 0)), 0)::bigint FROM pg_class
        WHERE relkind = 'r'
          AND (oid = %(table)s::regclass OR oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = %(table)s::regclass))"""
    [(rows,)] = fetch(sql, {"table": table})
    return int(rows)
