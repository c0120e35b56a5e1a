"""Redis, which server processes share: asked for an instant at most, and left alone from its first failure until it answers again.

Nothing that is asked of it is needed to answer a request: who gets Away counts in this process instead.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from django.conf import settings

from accounts import metrics

if TYPE_CHECKING:
    from redis import Redis  # the library takes long to load: it is imported where there is a Redis

T = TypeVar("T")

ALIAS = "redis"  # in settings.CACHES
PROBE_EVERY_SECONDS = 2.0
# Answers this slow, so many in a row, are as bad as none: two of them would make a request late by 50 ms.
SLOW_SECONDS = 0.025
SLOW_IN_A_ROW = 10

logger = logging.getLogger(__name__)


class Away(Exception):
    """There is no Redis, or it is not to be asked now."""


class SharedStore:
    """This process's view of Redis."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._away_since: float | None = None
        self._slow_in_a_row = 0

    def ask(self, question: Callable[[], T]) -> T:
        """What `question`, which talks to Redis, returns. Raises Away, and what `question` raises for other reasons than Redis."""
        if self._away_since is not None or not settings.REDIS_URL:
            raise Away
        began_at = time.perf_counter()
        try:
            answer = question()
        except _failures() as error:
            metrics.STORE_ERRORS.labels(metrics.REDIS).inc()
            # SECURITY: the kind of the error alone: its text may quote the URL, and that has a password.
            self._leave_alone(reason=type(error).__name__)
            raise Away from None
        self._note_speed(time.perf_counter() - began_at)
        return answer

    def watch(self) -> None:
        """Find out how it is before the first request does. For a server process that begins."""
        try:
            self.ask(lambda: connection().ping())
            metrics.STORE_UP.labels(metrics.REDIS).set(1)
        except Away:
            pass

    def forget(self) -> None:
        self._away_since, self._slow_in_a_row = None, 0

    def _note_speed(self, seconds: float) -> None:
        self._slow_in_a_row = self._slow_in_a_row + 1 if seconds > SLOW_SECONDS else 0
        if self._slow_in_a_row >= SLOW_IN_A_ROW:
            self._leave_alone(reason="slow")

    def _leave_alone(self, *, reason: str) -> None:
        """Ask nothing more, and let a thread find out when it is back, so that no request waits for that."""
        with self._lock:
            if self._away_since is not None:
                return
            self._away_since, self._slow_in_a_row = time.monotonic(), 0
        metrics.STORE_UP.labels(metrics.REDIS).set(0)
        logger.error("Redis is away; this process counts requests for itself until it is back", extra={"reason": reason})
        threading.Thread(target=self._probe, name="redis-probe", daemon=True).start()

    def _probe(self) -> None:
        time.sleep(PROBE_EVERY_SECONDS)
        while self._away_since is not None:
            try:
                if _is_well():
                    self._come_back()
                    return
            except Exception:
                # Whatever it was, the next round may go well; a thread that ended would never ask again.
                logger.exception("Redis could not be asked whether it is back")
            time.sleep(PROBE_EVERY_SECONDS)

    def _come_back(self) -> None:
        with self._lock:
            away_since, self._away_since = self._away_since, None
        if away_since is not None:
            metrics.STORE_UP.labels(metrics.REDIS).set(1)
            logger.warning("Redis is back", extra={"away_seconds": round(time.monotonic() - away_since)})


def connection() -> "Redis":
    """To be used inside a question."""
    from django_redis import get_redis_connection

    redis: Redis = get_redis_connection(ALIAS)
    return redis


def _is_well() -> bool:
    """It answers, and as fast as it should."""
    try:
        redis = connection()
        redis.ping()  # of a new connection this one waits for the handshake too
        began_at = time.perf_counter()
        redis.ping()
    except _failures():
        return False
    return time.perf_counter() - began_at < SLOW_SECONDS


def _failures() -> tuple[type[Exception], ...]:
    from redis.exceptions import RedisError

    return RedisError, OSError


shared = SharedStore()
