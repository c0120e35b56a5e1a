"""The cache in which django-ratelimit counts: Redis, or the memory of this process while Redis is away."""

from typing import Any

from django.core.cache import caches
from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache

from accounts.shared_store import ALIAS, Away, shared

ALIAS_HERE = "default"  # in settings.CACHES


class CeilingStore(BaseCache):
    """As much of a cache as counting takes. Which half was asked is decided anew for each question."""

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        super().__init__(params)

    def add(self, key: str, value: Any, timeout: float | None = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        try:
            return bool(shared.ask(lambda: caches[ALIAS].add(key, value, timeout)))
        except Away:
            return caches[ALIAS_HERE].add(key, value, timeout)

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        try:
            return shared.ask(lambda: caches[ALIAS].get(key, default))
        except Away:
            return caches[ALIAS_HERE].get(key, default)
        except ValueError:  # somebody else wrote there what is no number
            return default

    def incr(self, key: str, delta: int = 1, version: int | None = None) -> int:
        """Raises ValueError for a counter that is gone: Redis was emptied, or the window ended, since `add` saw it."""
        try:
            return int(shared.ask(lambda: caches[ALIAS].incr(key, delta)))
        except Away:
            here = caches[ALIAS_HERE]
            here.add(key, 0)  # Redis went between `add` and this, so the counter was never made here
            return here.incr(key, delta)
