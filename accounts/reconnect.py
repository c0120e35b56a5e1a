"""Repeat a database operation once when its connection was lost."""

from collections.abc import Callable
from typing import TypeVar

from django.db import InterfaceError, OperationalError, connection

T = TypeVar("T")


def with_reconnect(operation: Callable[[], T]) -> T:
    """What `operation` returns. It must be one statement that may safely run twice; inside a transaction it is never repeated."""
    try:
        return operation()
    except (OperationalError, InterfaceError):
        if connection.in_atomic_block or connection.is_usable():
            raise
        connection.close()
        return operation()
