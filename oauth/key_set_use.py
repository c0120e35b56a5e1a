"""How often verifiers ask for the key set, by the hour: whether a new key has reached them.

Each process counts for itself and adds to the hour's row now and then. It is a lower bound: a process that is
killed takes its last seconds along, and caches between here and the verifiers answer in our place.
"""

import threading
import time
from collections import Counter
from datetime import timedelta

from django.db import connection

from accounts import clock, metrics
from oauth.models import KeySetUse

FLUSH_SECONDS = 10.0
KEEP = timedelta(days=14)

_ADD = """
    INSERT INTO oauth_keysetuse (hour, answered_200, answered_304) VALUES (%s, %s, %s)
    ON CONFLICT (hour) DO UPDATE SET
        answered_200 = oauth_keysetuse.answered_200 + excluded.answered_200,
        answered_304 = oauth_keysetuse.answered_304 + excluded.answered_304"""


class Tally:
    """What this process has answered since it last wrote it down, by status."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answered: Counter[int] = Counter()
        self._flushed_at = 0.0

    def note(self, status: int) -> None:
        with self._lock:
            self._answered[status] += 1

    def flush_now_and_then(self) -> None:
        if time.monotonic() - self._flushed_at >= FLUSH_SECONDS:
            self._flushed_at = time.monotonic()
            self.flush()

    def flush(self) -> None:
        """Add it to the row of this hour. What the database does not take is kept for the next time."""
        with self._lock:
            answered, self._answered = self._answered, Counter()
        if not answered:
            return
        try:
            _add(answered)
        except BaseException:
            with self._lock:
                self._answered += answered
            raise
        for status, count in answered.items():
            metrics.JWKS_ANSWERS.labels(str(status)).inc(count)


tally = Tally()


def recent(*, hours: int) -> list[KeySetUse]:
    """The rows of the last so many hours, the newest first. Hours in which nobody asked have none."""
    since = clock.database_now() - timedelta(hours=hours)
    return list(KeySetUse.objects.filter(hour__gt=since).order_by("-hour"))


def prune() -> int:
    removed, _ = KeySetUse.objects.filter(hour__lt=clock.database_now() - KEEP).delete()
    return removed


def _add(answered: Counter[int]) -> None:
    hour = clock.database_now().replace(minute=0, second=0, microsecond=0)
    with connection.cursor() as cursor:
        cursor.execute(_ADD, (connection.ops.adapt_datetimefield_value(hour), answered[200], answered[304]))
