"""How many sign-ins succeeded and failed, hour by hour: counted once from the audit when an hour is over, and kept.

Nothing is written at a sign-in. Whoever looks at the overview counts the hours that ended since, a few at a time, each by the index of
events; `manage.py prune` counts all that is left. The running hour is counted as it stands, up to a bound that is told.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Case, Count, IntegerField, Min, QuerySet, Sum, Value, When
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Coalesce

from accounts import clock
from accounts.models import AuditEvent, AuditTally

HOUR = timedelta(hours=1)
DAYS = 14
KEPT = timedelta(days=90)
# A statement that began within the hour may write its event a little later.
SETTLED_AFTER = timedelta(minutes=10)
MOST_IN_A_PAGE = 3
MOST_AT_ONCE = 24
MOST_IN_AN_HOUR = 200_000
MOST_COUNTED = 10_000

SUCCEEDED, FAILED, LOCKED = "user:sign_in:succeeded", "user:sign_in:failed", "user:lockout:started"
# Of a name that fails again and again the audit has one row a minute, with a count, and its lock has the last of them.
FAILURES = Coalesce(Cast(KT("detail__count"), IntegerField()), Case(When(event=FAILED, then=1), default=0))


@dataclass(frozen=True)
class Counts:
    """`is_whole` is False where it is at least so many: a bound was met, or hours are not counted yet."""

    sign_ins: int = 0
    failures: int = 0
    is_whole: bool = True

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.sign_ins + other.sign_ins, self.failures + other.failures, self.is_whole and other.is_whole)

    @property
    def failure_rate(self) -> float | None:
        """Of all that tried, in percent; None when nobody did."""
        tries = self.sign_ins + self.failures
        return 100 * self.failures / tries if tries else None


@dataclass(frozen=True)
class Tally:
    """The last fourteen days and today, as far as they are counted."""

    now: datetime
    begins_at: datetime  # before it there was no audit
    hours: Mapping[datetime, Counts]
    running: Counts

    def between(self, since: datetime, until: datetime) -> Counts:
        """Whole hours from `since` on, and what runs when `until` is now."""
        total, hour = Counts(), _hour(since)
        first_running = _first_running(self.now)
        while hour < min(until, first_running):
            total += self.hours.get(hour, Counts(is_whole=hour < self.begins_at))
            hour += HOUR
        return total + self.running if until >= self.now else total

    def last_day(self) -> Counts:
        return self.between(self.now - 24 * HOUR, self.now)

    def day_before(self) -> Counts:
        return self.between(self.now - 48 * HOUR, _hour(self.now - 24 * HOUR))

    def days(self) -> list[tuple[datetime, Counts]]:
        """By the days of the server's clock (UTC), the last of them today."""
        today = self.now.replace(hour=0, minute=0, second=0, microsecond=0)
        starts = [today - timedelta(days=back) for back in range(DAYS - 1, -1, -1)]
        return [(start, self.between(start, self.now if start == today else start + 24 * HOUR)) for start in starts]


def read(*, most: int = MOST_IN_A_PAGE) -> Tally:
    """As it stands, after at most so many hours more were counted."""
    now, begins_at, hours = _look()
    hours |= _count(_missing(hours, now, begins_at)[:most])
    return Tally(now, begins_at, hours, _between(_first_running(now), None, most=MOST_COUNTED))


def close_hours() -> int:
    """Count a batch of the hours that have ended; how many there were. For `manage.py prune`, which calls until none is left."""
    now, begins_at, hours = _look()
    return len(_count(_missing(hours, now, begins_at)[:MOST_AT_ONCE]))


def prune() -> int:
    """Remove what the overview has no use for."""
    removed, _ = AuditTally.objects.filter(hour__lt=clock.database_now() - KEPT).delete()
    return removed


def failed(events: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
    return events.filter(event__in=(FAILED, LOCKED))


def _look() -> tuple[datetime, datetime, dict[datetime, Counts]]:
    """Now, the hour of the first event, and the hours that are counted."""
    now = clock.database_now()
    rows = AuditTally.objects.filter(hour__gte=_since(now)).values_list("hour", "sign_ins", "failures")
    first = AuditEvent.objects.aggregate(first=Min("at"))["first"] or now
    return now, _hour(first), {hour: Counts(sign_ins, failures) for hour, sign_ins, failures in rows}


def _missing(known: Mapping[datetime, Counts], now: datetime, begins_at: datetime) -> list[datetime]:
    """The newest first: they are looked at first."""
    hour, found = _first_running(now) - HOUR, []
    while hour >= max(_since(now), begins_at):
        if hour not in known:
            found.append(hour)
        hour -= HOUR
    return found


def _count(hours: list[datetime]) -> dict[datetime, Counts]:
    counted = {hour: _between(hour, hour + HOUR, most=MOST_IN_AN_HOUR) for hour in hours}
    rows = [AuditTally(hour=hour, sign_ins=counts.sign_ins, failures=counts.failures) for hour, counts in counted.items()]
    # Another process may be at the same hour; what it counts is the same.
    AuditTally.objects.bulk_create(rows, ignore_conflicts=True)
    return counted


def _between(since: datetime, until: datetime | None, *, most: int) -> Counts:
    events = AuditEvent.objects.filter(at__gte=since).order_by()
    if until is not None:
        events = events.filter(at__lt=until)
    sign_ins, few = _sum(events.filter(event=SUCCEEDED), Value(1), most=most)
    failures, few_failures = _sum(failed(events), FAILURES, most=most)
    return Counts(sign_ins, failures, few and few_failures)


def _sum(events: QuerySet[AuditEvent], number: Any, *, most: int) -> tuple[int, bool]:
    """The sum of `number` over so many rows at most, and whether those were all: it takes the same time, whatever the table holds."""
    read: QuerySet[Any, Any] = events.annotate(number=number).values("pk", "number")[: most + 1]
    found = read.aggregate(rows=Count("pk"), total=Sum("number"))
    return found["total"] or 0, found["rows"] <= most


def _since(now: datetime) -> datetime:
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=DAYS - 1)


def _first_running(now: datetime) -> datetime:
    """The first hour that is not counted for good yet."""
    return _hour(now - SETTLED_AFTER)


def _hour(instant: datetime) -> datetime:
    return instant.replace(minute=0, second=0, microsecond=0)
