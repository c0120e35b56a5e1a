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
SLOW_SECONDS = 0.9  # a little less than the wait for a lock
SLOW_FOR_SECONDS = 3.0  # longer than it takes to give up a statement or a connection


class Patience:
    """Of one process, with `threads` of them that serve."""

    def __init__(self, *, threads: int) -> None:
        self._most = max(1, threads - 1)
        self._lock = threading.Lock()
        self._inside = 0
        self._slow_until = 0.0
        self._of_thread = _OfThread()

    @contextmanager
    def serving(self, *, is_page: bool) -> Iterator[None]:
        """A request is served by this thread. A page for people may take its time, batch by batch, and says nothing about the database."""
        with self._lock:
            self._inside += 1
        mine = self._of_thread
        mine.deadline, mine.waited = (None, None) if is_page else (time.monotonic() + REQUEST_SECONDS, 0.0)
        try:
            yield
        finally:
            mine.deadline = mine.waited = None
            with self._lock:
                self._inside -= 1

    def left(self) -> float:
        """How many seconds a statement of this thread may take from now on. None are left when it is zero or less."""
        deadline = self._of_thread.deadline
        return STATEMENT_SECONDS if deadline is None else min(STATEMENT_SECONDS, deadline - time.monotonic())

    def until_slow(self) -> float:
        """How many seconds this thread's request may still wait until the database counts as slow."""
        waited = self._of_thread.waited
        return STATEMENT_SECONDS if waited is None else max(0.0, SLOW_SECONDS - waited)

    def note(self, seconds: float) -> None:
        """This thread has waited for so long, for a statement or a connection."""
        mine = self._of_thread
        if mine.waited is not None:
            mine.waited += seconds
            if mine.waited >= SLOW_SECONDS:
                self._slow_until = time.monotonic() + SLOW_FOR_SECONDS

    def is_full(self) -> bool:
        """Whether this request, which counts already, would take the last thread from those who need no database."""
        return self._inside > self._most and time.monotonic() < self._slow_until


class _OfThread(threading.local):
    """When its request has taken too long, and for how long it has waited for the database; None outside of a program's request."""

    deadline: float | None = None
    waited: float | None = None


patience = Patience(threads=settings.THREADS)
