"""Repeat a database operation once, on a new connection, when the old one was lost or leads to a server that may not write."""

from collections.abc import Callable
from typing import TypeVar

from django.db import InterfaceError, InternalError, OperationalError, connection

T = TypeVar("T")


def with_reconnect(operation: Callable[[], T]) -> T:
    """What `operation` returns. It must be one statement that may safely run twice; inside a transaction it is never repeated."""
    try:
        return operation()
    except (OperationalError, InterfaceError, InternalError) as error:
        # After a failover the old server may answer still, and be read-only: that is an InternalError.
        if connection.in_atomic_block or (not isinstance(error, InternalError) and connection.is_usable()):
            raise
        connection.close()
        return operation()
