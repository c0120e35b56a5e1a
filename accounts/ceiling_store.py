"""The cache in which django-ratelimit counts: Redis, or the memory of this process while Redis is away."""

from collections import OrderedDict
from typing import Any

from django.core.cache import caches
from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache

from accounts.shared_store import ALIAS, Away, shared

ALIAS_HERE = "default"  # in settings.CACHES
KNOWN = 1000  # counters of which a thread remembers that Redis has them


class CeilingStore(BaseCache):
    """As much of a cache as counting takes; each thread has its own. Which half was asked is decided anew for each question."""

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        super().__init__(params)
        self._known: OrderedDict[str, float | None] = OrderedDict()

    def add(self, key: str, value: Any, timeout: float | None = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """Whether the counter was made now. It is asked for before each count: Redis only until it has the counter."""
        if key in self._known:
            return False
        try:
            added = bool(shared.ask(lambda: caches[ALIAS].add(key, value, timeout)))
        except Away:
            return caches[ALIAS_HERE].add(key, value, timeout)
        self._known[key] = timeout
        if len(self._known) > KNOWN:
            self._known.popitem(last=False)
        return added

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        try:
            return shared.ask(lambda: caches[ALIAS].get(key, default))
        except Away:
            return caches[ALIAS_HERE].get(key, default)
        except ValueError:  # somebody else wrote there what is no number
            return default

    def incr(self, key: str, delta: int = 1, version: int | None = None) -> int:
        """Raises ValueError for a counter that nobody has made."""
        try:
            return self._incr(key, delta)
        except ValueError:
            if key not in self._known:
                raise
        # Redis was emptied.
        made = self.add(key, delta, self._known.pop(key))
        return delta if made else self._incr(key, delta)

    @staticmethod
    def _incr(key: str, delta: int) -> int:
        try:
            return int(shared.ask(lambda: caches[ALIAS].incr(key, delta)))
        except Away:
            here = caches[ALIAS_HERE]
            here.add(key, 0)  # Redis went after it had the counter, so it was never made here
            return here.incr(key, delta)
