"""How many different names there were within this hour, in each of several groups: about, and without a name being kept.

Redis has them as HyperLogLogs. While it is away this process counts for itself, by digests, a bounded number of them.
"""

import threading
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence

from accounts import clock
from accounts.shared_store import Away, connection, shared

WINDOW_SECONDS = 3600
KEPT_HERE = 20_000
TOGETHER = 16
_PREFIX = "authserver:names"


def add(digest: bytes, *, to: str) -> None:
    """Count a name in this group: with TOGETHER of them, or before anybody asks this process how many there are.

    A question to Redis for each name by itself took 0.4 ms of each sign-in's CPU.
    """
    if waiting.put(digest, group=to) >= TOGETHER:
        _count(waiting.take(), of=())


def add_and_count(digest: bytes, *, to: Sequence[str], of: Sequence[str]) -> tuple[int, ...]:
    """Count a name in the groups `to`; how many there are in each of the groups `of` now."""
    names = waiting.take()
    for group in to:
        names.setdefault(group, []).append(digest)
    return _count(names, of=of)


def claim(group: str) -> bool:
    """True for who asks first within this hour."""
    hour = _hour()
    if not here.claim(group, hour=hour):
        return False
    try:
        return bool(shared.ask(lambda: connection().set(f"{_PREFIX}:{hour}:claimed:{group}", 1, nx=True, ex=WINDOW_SECONDS)))
    except Away:
        return True


class Waiting:
    """Names of this process that are not counted yet. Those of a process that ends are not missed: the numbers are about right."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names: list[tuple[str, bytes]] = []

    def put(self, digest: bytes, *, group: str) -> int:
        """How many wait now."""
        with self._lock:
            self._names.append((group, digest))
            return len(self._names)

    def take(self) -> dict[str, list[bytes]]:
        """All of them, by their groups; none waits then."""
        with self._lock:
            names, self._names = self._names, []
        grouped: dict[str, list[bytes]] = {}
        for group, digest in names:
            grouped.setdefault(group, []).append(digest)
        return grouped


class Here:
    """What this process counts by itself. Of all pairs of group and name it keeps the newest."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begin(0)

    def count(self, names: Mapping[str, Sequence[bytes]], *, of: Sequence[str], hour: int) -> tuple[int, ...]:
        with self._lock:
            self._ensure_hour(hour)
            for group, digests in names.items():
                for digest in digests:
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


def _count(names: Mapping[str, Sequence[bytes]], *, of: Sequence[str]) -> tuple[int, ...]:
    hour = _hour()
    try:
        return shared.ask(lambda: _in_redis(names, of=of, hour=hour))
    except Away:
        return here.count(names, of=of, hour=hour)


def _in_redis(names: Mapping[str, Sequence[bytes]], *, of: Sequence[str], hour: int) -> tuple[int, ...]:
    pipeline = connection().pipeline(transaction=False)
    for group, digests in names.items():
        pipeline.pfadd(f"{_PREFIX}:{hour}:{group}", *digests)
        pipeline.expire(f"{_PREFIX}:{hour}:{group}", WINDOW_SECONDS)
    for group in of:
        pipeline.pfcount(f"{_PREFIX}:{hour}:{group}")
    answers = pipeline.execute()
    return tuple(answers[len(answers) - len(of) :])


def _hour() -> int:
    return int(clock.now().timestamp()) // WINDOW_SECONDS


here, waiting = Here(), Waiting()
