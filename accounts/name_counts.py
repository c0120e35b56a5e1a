"""How many different names there were within this hour, in each of several groups: about, and without a name being kept.

Redis has them as HyperLogLogs. While it is away this process counts for itself, by digests, a bounded number of them.
"""

import threading
from collections import Counter, OrderedDict
from collections.abc import Sequence

from accounts import clock
from accounts.shared_store import Away, connection, shared

WINDOW_SECONDS = 3600
KEPT_HERE = 20_000
_PREFIX = "authserver:names"


def add(digest: bytes, *, to: Sequence[str]) -> None:
    """Count a name in these groups."""
    add_and_count(digest, to=to, of=())


def add_and_count(digest: bytes, *, to: Sequence[str], of: Sequence[str]) -> tuple[int, ...]:
    """Count a name in the groups `to`; how many there are in each of the groups `of` now."""
    hour = _hour()
    try:
        return shared.ask(lambda: _in_redis(digest, to=to, of=of, hour=hour))
    except Away:
        return here.add_and_count(digest, to=to, of=of, hour=hour)


def claim(group: str) -> bool:
    """True for who asks first within this hour."""
    hour = _hour()
    if not here.claim(group, hour=hour):
        return False
    try:
        return bool(shared.ask(lambda: connection().set(f"{_PREFIX}:{hour}:claimed:{group}", 1, nx=True, ex=WINDOW_SECONDS)))
    except Away:
        return True


class Here:
    """What this process counts by itself. Of all pairs of group and name it keeps the newest."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begin(0)

    def add_and_count(self, digest: bytes, *, to: Sequence[str], of: Sequence[str], hour: int) -> tuple[int, ...]:
        with self._lock:
            self._ensure_hour(hour)
            for group in to:
                self._add(group, digest[:8])
            return tuple(self._counts[group] for group in of)

    def claim(self, group: str, *, hour: int) -> bool:
        with self._lock:
            self._ensure_hour(hour)
            is_first = group not in self._claimed
            self._claimed.add(group)
            return is_first

    def forget(self) -> None:
        with self._lock:
            self._begin(0)

    def _begin(self, hour: int) -> None:
        self._began_in = hour
        self._pairs: OrderedDict[tuple[str, bytes], None] = OrderedDict()
        self._counts: Counter[str] = Counter()
        self._claimed: set[str] = set()

    def _ensure_hour(self, hour: int) -> None:
        if hour != self._began_in:
            self._begin(hour)

    def _add(self, group: str, name: bytes) -> None:
        if (group, name) not in self._pairs:
            self._pairs[group, name] = None
            self._counts[group] += 1
        self._pairs.move_to_end((group, name))
        if len(self._pairs) > KEPT_HERE:
            (oldest, _), _ = self._pairs.popitem(last=False)
            self._counts[oldest] -= 1
            if not self._counts[oldest]:
                del self._counts[oldest]


def _in_redis(digest: bytes, *, to: Sequence[str], of: Sequence[str], hour: int) -> tuple[int, ...]:
    pipeline = connection().pipeline(transaction=False)
    for group in to:
        pipeline.pfadd(f"{_PREFIX}:{hour}:{group}", digest)
        pipeline.expire(f"{_PREFIX}:{hour}:{group}", WINDOW_SECONDS)
    for group in of:
        pipeline.pfcount(f"{_PREFIX}:{hour}:{group}")
    answers = pipeline.execute()
    return tuple(answers[len(answers) - len(of) :])


def _hour() -> int:
    return int(clock.now().timestamp()) // WINDOW_SECONDS


here = Here()
