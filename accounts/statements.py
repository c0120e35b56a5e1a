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
