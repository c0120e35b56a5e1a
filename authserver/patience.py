"""How long a request may wait for the database, and how many requests of a process may do so at once while it is slow.

A database that hangs takes connections and answers nothing, so no limit of its own applies. While it is slow, one thread of each
process is kept free of it: for the documents that verifiers ask for, and to tell everybody else at once to come back.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

STATEMENT_SECONDS = 2.5  # the server's own limits, of two seconds, come first where it lives
REQUEST_SECONDS = 5.0
SLOW_SECONDS = 0.5
SLOW_FOR_SECONDS = 5.0  # longer than it takes to give up a connection


class Patience:
    """Of one process, with `threads` of them that serve."""

    def __init__(self, *, threads: int) -> None:
        self._most = max(1, threads - 1)
        self._lock = threading.Lock()
        self._inside = 0
        self._slow_until = 0.0
        self._request = threading.local()

    @contextmanager
    def serving(self, *, within: float | None = None) -> Iterator[None]:
        """A request is served by this thread, and asks nothing of the database when it has taken `within` seconds."""
        with self._lock:
            self._inside += 1
        self._request.deadline = None if within is None else time.monotonic() + within
        try:
            yield
        finally:
            self._request.deadline = None
            with self._lock:
                self._inside -= 1

    def left(self) -> float:
        """How many seconds a statement of this thread may take from now on. None are left when it is zero or less."""
        deadline: float | None = getattr(self._request, "deadline", None)
        return STATEMENT_SECONDS if deadline is None else min(STATEMENT_SECONDS, deadline - time.monotonic())

    def note_slow(self) -> None:
        """A statement or a connection has taken SLOW_SECONDS."""
        self._slow_until = time.monotonic() + SLOW_FOR_SECONDS

    def is_full(self) -> bool:
        """Whether this request, which counts already, would take the last thread from those who need no database."""
        return self._inside > self._most and time.monotonic() < self._slow_until


patience = Patience(threads=settings.THREADS)
