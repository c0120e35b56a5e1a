"""End all sessions of a client, or of everybody: counted before, a batch at a time, on record."""

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q, QuerySet

from accounts import audit, clock, statements
from accounts.actors import Actor
from accounts.clock import Instant
from oauth.models import Client, Session

BATCH = 1000
SAMPLE = 10_000


@dataclass(frozen=True)
class Preview:
    """How many sessions would end. Not exact: of a client there are more, of everybody it was estimated from a sample."""

    count: int
    is_exact: bool


@dataclass(frozen=True)
class Ended:
    count: int
    is_complete: bool


def preview(*, client: Client | None) -> Preview:
    """At a cost that does not grow with the table: of a client the newest are looked at, of everybody the first by their random ids."""
    if client is not None:
        newest = Session.objects.filter(client=client).order_by("-created_at").values("pk")
        live = Session.objects.filter(_GOES_ON, pk__in=newest[:SAMPLE]).count()
        return Preview(live, is_exact=not newest[SAMPLE : SAMPLE + 1].exists())
    sample = Session.objects.order_by("pk").values("pk")[:SAMPLE]
    looked_at, live = len(sample), Session.objects.filter(_GOES_ON, pk__in=sample).count()
    if looked_at < SAMPLE:
        return Preview(live, is_exact=True)
    return Preview(round(live / looked_at * max(_estimated_rows(), looked_at)), is_exact=False)


def end_all(*, client: Client | None, actor: Actor, reason: str, within: timedelta | None = None) -> Ended:
    """End them batch by batch, and record it; after `within` stop where it stands. `client` None: of everybody."""
    *_, last = progress(client=client, actor=actor, reason=reason, within=within)
    return last


def progress(*, client: Client | None, actor: Actor, reason: str, within: timedelta | None = None) -> Iterator[Ended]:
    """As `end_all`, telling after each batch how far it is. Sessions that are opened meanwhile are left alone.

    Each batch is a transaction of its own; what was ended stays so, whatever stops the rest.
    """
    client_id = client.client_id if client is not None else ""
    audit.record("sessions:ending:started", client_id=client_id, detail={"by": "staff", "reason": reason}, **actor)
    begun, count, is_complete = time.monotonic(), 0, True
    for ended in batches(client, opened_by=clock.database_now(), reason="ended_by_staff"):
        count += ended
        yield Ended(count, is_complete=False)
        if within is not None and time.monotonic() - begun >= within.total_seconds():
            is_complete = not _is_any_left(client)
            break
    detail = {"ended": count, "is_complete": is_complete}
    audit.record("sessions:ending:finished", client_id=client_id, detail=detail, **actor)
    yield Ended(count, is_complete)


def _is_any_left(client: Client | None) -> bool:
    """Whether a session is left that goes on."""
    return going_on(client, opened_by=clock.database_now()).exists()


# Own columns: what goes on by itself, or would again when its user or client is enabled.
_GOES_ON = Q(revoked_at=None, expires_at__gt=Instant())


def going_on(client: Client | None, *, opened_by: datetime) -> QuerySet[Session]:
    """Those that were opened up to this instant, and go on."""
    rows = Session.objects.filter(_GOES_ON, created_at__lte=opened_by)
    return rows if client is None else rows.filter(client=client)


def batches(client: Client | None, *, opened_by: datetime, reason: str) -> Iterator[int]:
    """End them; how many each batch ended. Along an index: of a client by the time they were opened, of everybody by their key."""
    last_pk, last_at = uuid.UUID(int=0), None
    while True:
        rows = going_on(client, opened_by=opened_by)
        if client is None:
            rows = rows.filter(pk__gt=last_pk).order_by("pk")
        else:
            # From where the last batch stood, itself included: those of the same instant that it ended go on no more.
            rows = (rows if last_at is None else rows.filter(created_at__gte=last_at)).order_by("created_at")
        batch = list(rows.values_list("pk", "created_at")[:BATCH])
        if not batch:
            return
        last_pk, last_at = batch[-1]
        # Asked again in the UPDATE: a session that ended for another reason meanwhile keeps its reason.
        yield Session.objects.filter(pk__in=[pk for pk, _ in batch], revoked_at=None).update(revoked_at=Instant(), revoked_reason=reason)


def _estimated_rows() -> int:
    """How many rows the table has, as PostgreSQL last saw; SQLite counts them."""
    estimate = statements.estimated_rows(Session._meta.db_table)
    return Session.objects.count() if estimate is None else estimate
