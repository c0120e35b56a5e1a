"""Who is sent away when more requests come than are served, and when each of them finds room.

Who has waited for a thread for long goes, so that nobody waits longer. Those who go are given places one after the other, for
a herd that was told to come back soon would be a herd again, and to send it away again and again would take the server's time.
"""

import threading
import time
from collections.abc import Callable

from authserver.patience import patience

LATE_SECONDS = 1.5  # of waiting for a thread: the answer is to come within two
LONGEST_AWAY_SECONDS = 30
FIRST_PACE, LEAST_PACE = 400.0, 100.0  # places a second
SENT_AWAY_COSTS = 0.35  # of what a refresh does, and a little more: to be sent away once more costs less than an idle server


class Crowding:
    """Of one process; `begun` tells how many requests it has begun with, those included that were sent away."""

    def __init__(self, *, begun: Callable[[], int]) -> None:
        self._begun = begun
        self._of_thread = _OfThread()
        self._lock = threading.Lock()
        self._room_at = self._paced_at = 0.0
        self._pace, self._begun_before, self._sent_away = FIRST_PACE, 0, 0

    def note_queue(self, seconds: float) -> None:
        """What this thread serves next has waited for so long until the thread was free."""
        self._of_thread.is_late = seconds > LATE_SECONDS

    def is_late(self) -> bool:
        """Whether the request of this thread has waited so long that it is better sent away."""
        return self._of_thread.is_late

    def seconds_until_room(self) -> int:
        """Take the next place for a request that is sent away: as many have room in a second as could be served in the last one."""
        now = time.monotonic()
        with self._lock:
            self._sent_away += 1
            self._keep_pace(now)
            self._room_at = min(max(self._room_at, now) + 1 / self._pace, now + LONGEST_AWAY_SECONDS)
            return int(self._room_at - now)

    def _keep_pace(self, now: float) -> None:
        seconds, begun = now - self._paced_at, self._begun()
        if seconds < 1:
            return
        could_serve = begun - self._begun_before - self._sent_away * (1 - SENT_AWAY_COSTS)
        # A longer time than two seconds had more in it than a crowd, and tells nothing.
        self._pace = max(LEAST_PACE, could_serve / seconds) if seconds < 2 else FIRST_PACE
        self._paced_at, self._begun_before, self._sent_away = now, begun, 0


class _OfThread(threading.local):
    is_late: bool = False


crowding = Crowding(begun=lambda: patience.begun)
