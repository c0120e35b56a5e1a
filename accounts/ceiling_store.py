"""The cache in which django-ratelimit counts: Redis, or the memory of this process while Redis is away."""

from typing import Any

from django.core.cache import caches
from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache

from accounts.shared_store import ALIAS, Away, connection, shared

ALIAS_HERE = "default"  # in settings.CACHES


class CeilingStore(BaseCache):
    """As much of a cache as counting takes; each thread has its own. Which half was asked is decided anew for each question."""

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        super().__init__(params)
        self._timeout: float | None = None

    def add(self, key: str, value: Any, timeout: float | None = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """False: nobody makes a counter, the first who counts begins it. It is told before each count for how long one is to last."""
        self._timeout = timeout
        return False

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        try:
            return shared.ask(lambda: caches[ALIAS].get(key, default))
        except Away:
            return caches[ALIAS_HERE].get(key, default)
        except ValueError:  # somebody else wrote there what is no number
            return default

    def incr(self, key: str, delta: int = 1, version: int | None = None) -> int:
        try:
            return shared.ask(lambda: self._incr_there(key, delta))
        except Away:
            here = caches[ALIAS_HERE]
            here.add(key, 0, self._timeout)
            return here.incr(key, delta)

    def _incr_there(self, key: str, delta: int) -> int:
        # Not the cache's own: its INCRBY is a script, which costs twice as much here and there.
        redis, name = connection(), caches[ALIAS].make_key(key)
        count = int(redis.incrby(name, delta))
        # Who dies between the two leaves a counter without an end, of a window that nobody asks for again.
        if count == delta and self._timeout is not None:
            redis.expire(name, int(self._timeout))
        return count
