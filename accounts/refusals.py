"""The only writer of Refusal: each refused request on record with its true reason, and never more than the store can bear."""

import logging
import threading
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import DatabaseError, InterfaceError, connection

from accounts.clock import Instant, SteadyInstant
from accounts.models import Refusal
from accounts.pruning import Pruning

KEPT_FOR = timedelta(days=14)
PER_SECOND = 20.0
BURST = 100.0
# More is removed in a minute than can be written in one, so that a flood that lasts does not outgrow its two weeks.
PRUNE_EVERY_SECONDS = 60.0
PRUNE_BATCH = 2000

logger = logging.getLogger(__name__)


class Allowance:
    """How many rows this process may write: `BURST` at once, `PER_SECOND` for long. What is over is counted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left = BURST
        self._at = time.monotonic()
        self._skipped = 0

    def take(self) -> int | None:
        """None when the rate is used up; else how many were skipped since the last time."""
        with self._lock:
            now = time.monotonic()
            self._left = min(BURST, self._left + (now - self._at) * PER_SECOND)
            self._at = now
            if self._left < 1:
                self._skipped += 1
                return None
            self._left -= 1
            skipped, self._skipped = self._skipped, 0
            return skipped


allowance = Allowance()
pruning = Pruning(every_seconds=PRUNE_EVERY_SECONDS)


def record(
    error_id: str,
    *,
    status: int,
    error: str,
    reason: str,
    client_id: str,
    user_id: UUID | None,
    address: str | None,
    user_agent: str,
    shape: Mapping[str, Any],
) -> None:
    """Store one refusal, or count it when there are too many. Never fails the answer: without the store its log line remains."""
    skipped = allowance.take()
    if skipped is None:
        return
    try:
        Refusal.objects.create(
            error_id=error_id,
            at=Instant(),
            status=status,
            error=error,
            reason=reason[:200],
            client_id=client_id,
            user_id=user_id,
            address=address,
            user_agent=user_agent[:200],
            shape=dict(shape),
            skipped_before=skipped,
        )
        if pruning.is_due():
            prune()
    except (DatabaseError, InterfaceError):
        logger.warning("a refusal could not be stored", extra={"error_id": error_id})
        connection.close()


def prune() -> int:
    """Remove a batch of rows that are past their time; how many."""
    old = Refusal.objects.filter(at__lt=SteadyInstant(plus=-KEPT_FOR)).order_by("at").values_list("pk", flat=True)[:PRUNE_BATCH]
    removed, _ = Refusal.objects.filter(pk__in=list(old)).delete()
    return removed
