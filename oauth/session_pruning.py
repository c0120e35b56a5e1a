"""Remove sessions that nothing can come back from: the one place where rows of sessions are deleted.

There is no index on expires_at, because a refresh writes it: so all rows are looked at, in the order of
their primary key, a batch at a time.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import BooleanField, ExpressionWrapper, Q

from accounts.clock import Instant
from oauth.models import Session

BATCH = 1000


@dataclass(frozen=True)
class Pruned:
    """What came of one batch."""

    looked_at: int
    removed: int


def prune(*, keep: timedelta) -> Iterator[Pruned]:
    """Remove the sessions that expired longer than `keep` ago, batch by batch, each in a transaction of its own."""
    # SECURITY: expiry alone decides, for revoked sessions too: while a session could have lived on, a token of it
    # that was spent or stolen has to be known for what it is when it turns up.
    is_over = Q(expires_at__lt=Instant(plus=-keep))
    last = uuid.UUID(int=0)
    while True:
        rows = Session.objects.filter(pk__gt=last).order_by("pk").annotate(is_over=ExpressionWrapper(is_over, output_field=BooleanField()))
        batch = list(rows.values_list("pk", "is_over")[:BATCH])
        if not batch:
            return
        first, last = last, batch[-1][0]
        removed = 0
        if any(over for _, over in batch):
            removed, _ = Session.objects.filter(is_over, pk__gt=first, pk__lte=last).delete()
        yield Pruned(len(batch), removed)
