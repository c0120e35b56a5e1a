"""For how long a request may wait for the database, and how many requests of a process may do so at once while it is slow.

A database that hangs takes connections and answers nothing, so no limit of its own applies. While it is slow, one thread of each
process is kept free of it: for the documents that verifiers ask for, and to tell everybody else at once to come back.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

STATEMENT_SECONDS = 2.5  # the server's own limits, of two seconds, come first where it lives
REQUEST_SECONDS = 5.0  # of waiting for the database: what else takes time takes none of it
SLOW_SECONDS = 0.9  # a little less than the wait for a lock
SLOW_PROBE_SECONDS = 0.25  # of a read that waits for no lock, and is done twice a second
SLOW_FOR_SECONDS = 5.0  # several probes
HANGS_FOR_SECONDS = 6.0  # longer than it takes a probe to find out that it does not any more, with two hosts that are silent


class Patience:
    """Of one process, with `threads` of them that serve."""

    def __init__(self, *, threads: int) -> None:
        self._most = max(1, threads - 1)
        self._lock = threading.Lock()
        self._inside = 0
        self.begun = 0  # requests so far
        self._slow_until = self._probe_slow_until = self._hangs_until = 0.0
        self._of_thread = _OfThread()

    def serving(self, *, is_page: bool) -> "Serving":
        """A request is served by this thread. A page for people may take its time, batch by batch, and says nothing about the database."""
        return Serving(self, waited=None if is_page else 0.0)

    def begin(self, *, waited: float | None) -> None:
        with self._lock:
            self._inside += 1
            self.begun += 1
        self._of_thread.waited = waited

    def end(self) -> None:
        self._of_thread.waited = None
        with self._lock:
            self._inside -= 1

    @contextmanager
    def probing(self) -> Iterator[None]:
        """This thread reads what nobody locks: how long that takes, tells how the database is."""
        mine = self._of_thread
        mine.waited, mine.is_probe = 0.0, True
        try:
            yield
        finally:
            mine.waited, mine.is_probe = None, False

    @contextmanager
    def reading_for(self, seconds: float) -> Iterator[None]:
        """This thread serves nobody, and reads so much that a statement may take so long."""
        mine = self._of_thread
        mine.statement_seconds = seconds
        try:
            yield
        finally:
            mine.statement_seconds = STATEMENT_SECONDS

    def left(self) -> float:
        """How many seconds a statement of this thread may take from now on. None are left when it is zero or less."""
        mine = self._of_thread
        if mine.waited is None or mine.is_probe:
            return mine.statement_seconds
        return 0.0 if time.monotonic() < self._hangs_until else min(STATEMENT_SECONDS, REQUEST_SECONDS - mine.waited)

    def give_up(self) -> None:
        """An answer did not come. Until another one does, a probe's most likely, no request asks: it would only wait as long."""
        self._hangs_until = time.monotonic() + HANGS_FOR_SECONDS

    def note_answer(self) -> None:
        if self._hangs_until:
            self._hangs_until = 0.0

    def until_slow(self) -> float:
        """How many seconds this thread may still wait until the database counts as slow."""
        mine = self._of_thread
        return mine.statement_seconds if mine.waited is None else max(0.0, mine.slow_seconds - mine.waited)

    def note(self, seconds: float) -> None:
        """This thread has waited for so long, for a statement or a connection."""
        mine = self._of_thread
        if mine.waited is not None:
            mine.waited += seconds
            if mine.waited >= mine.slow_seconds:
                self._slow_until = time.monotonic() + SLOW_FOR_SECONDS
                if mine.is_probe:
                    self._probe_slow_until = self._slow_until

    def is_full(self) -> bool:
        """Whether this request, which counts already, would take the last thread from those who need no database."""
        return self._inside > self._most and time.monotonic() < self._slow_until

    def is_slow(self) -> bool:
        """Whether a read was slow that nobody locks: a row that many wait for is no reason to send nobody here."""
        return time.monotonic() < self._probe_slow_until


class Serving:
    """A request from its beginning until `close`, or until the end of a `with`."""

    __slots__ = ("_patience",)

    def __init__(self, patience: Patience, *, waited: float | None) -> None:
        self._patience = patience
        patience.begin(waited=waited)

    def close(self) -> None:
        self._patience.end()

    def __enter__(self) -> None:
        return None

    def __exit__(self, *error: object) -> None:
        self.close()


class _OfThread(threading.local):
    """For how long its request, or its probe, has waited for the database; None for a page, and for a thread that does neither."""

    waited: float | None = None
    is_probe: bool = False
    statement_seconds: float = STATEMENT_SECONDS

    @property
    def slow_seconds(self) -> float:
        return SLOW_PROBE_SECONDS if self.is_probe else SLOW_SECONDS


patience = Patience(threads=settings.THREADS)
