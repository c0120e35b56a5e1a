"""Who may hash a password now: as many at once as there are cores for it, a few who wait for a second, nobody else.

A flood of sign-ins is refused with a 503 at the price of a look, and the threads that it would have held answer refreshes.
The hashes are computed by threads that the system runs when nobody else of ours wants the core.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from django.conf import settings

from accounts import metrics

WAIT_SECONDS = 1.0
NICENESS = 10

P = ParamSpec("P")
T = TypeVar("T")


class Full(Exception):
    """As many attempts are under way as may hash or wait, or the wait was too long."""


class Slots:
    def __init__(self, *, slots: int, waiting: int, wait_seconds: float = WAIT_SECONDS) -> None:
        self.slots, self.waiting = slots, waiting
        self._places = threading.Semaphore(slots + waiting)
        self._free = threading.Semaphore(slots)
        self._hashing = ThreadPoolExecutor(slots, thread_name_prefix="hashing", initializer=_stand_back)
        self._wait_seconds = wait_seconds

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Be one of those who hash or wait, before anything is asked of the database. Raises Full at once."""
        if not self._places.acquire(blocking=False):
            metrics.HASHES_REFUSED.labels("full").inc()
            raise Full
        try:
            yield
        finally:
            self._places.release()

    @contextmanager
    def take(self) -> Iterator[None]:
        """Hold a slot for `compute`, within an admission. Raises Full when none is free within the time."""
        began_at = time.perf_counter()
        self._wait()
        try:
            metrics.observe_hash_wait(time.perf_counter() - began_at)
            with metrics.HASHES.labels("hashing").track_inprogress():
                yield
        finally:
            self._free.release()

    def compute(self, hash_of: Callable[P, T], *arguments: P.args, **keywords: P.kwargs) -> T:
        """The result of a hash, within a slot. It must ask nothing of the database: its thread is another one."""
        return self._hashing.submit(hash_of, *arguments, **keywords).result()

    def _wait(self) -> None:
        if not self._free.acquire(blocking=False):
            with metrics.HASHES.labels("waiting").track_inprogress():
                is_free = self._free.acquire(timeout=self._wait_seconds)
            if not is_free:
                metrics.HASHES_REFUSED.labels("waited too long").inc()
                raise Full


def _stand_back() -> None:
    if sys.platform == "linux":  # elsewhere a priority is of the whole process
        me = threading.get_native_id()
        # Never forward: that is forbidden, and a pool whose threads fail to begin is of no use any more.
        os.setpriority(os.PRIO_PROCESS, me, max(NICENESS, os.getpriority(os.PRIO_PROCESS, me)))


def of_this_process() -> Slots:
    """The cores shared out among the processes; at most half of the threads wait, and one is always left for everything else."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    hashing = max(1, min(cores // settings.PROCESSES, settings.THREADS // 2))
    return Slots(slots=hashing, waiting=max(0, min(settings.THREADS // 2, settings.THREADS - 1 - hashing)))


slots = of_this_process()
