"""The overview: what needs attention, the last day beside the day before, who fails from where, and what staff did.

Events are counted within a day, by their index, up to a bound that is told. Of a name that fails again and again the audit has one row
a minute, with a count, and its lock has the last of them: so failures are added up, not their rows counted.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Case, Count, IntegerField, Q, QuerySet, Sum, Value, When
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Coalesce
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from accounts import audit_pages
from accounts.clock import Instant
from accounts.models import AuditEvent, User

DAY = timedelta(days=1)
MOST_COUNTED = 10_000
MOST_FAILURES = 5000
ADDRESSES = 8
ATTACK = 50  # failures from one address, of those that were read
ACTIONS = 8
MOST_STAFF = 200
SUCCEEDED, FAILED, LOCKED = "user:sign_in:succeeded", "user:sign_in:failed", "user:lockout:started"
FAILURES = Coalesce(Cast(KT("detail__count"), IntegerField()), Case(When(event=FAILED, then=1), default=0))
ALARMS = {
    "session:refresh_token:reused": _("A refresh token was used twice: somebody may have a copy of it."),
    "network:password_spraying:detected": _("Passwords are being sprayed: few guesses at each of many names."),
    "session:refresh:caught_up": _("The database had forgotten refreshes: it was restored, or failed over."),
}


@dataclass(frozen=True)
class Need:
    text: Any
    url: str


@dataclass(frozen=True)
class Card:
    label: Any
    value: str
    before: str
    url: str


def context(request: HttpRequest) -> dict[str, Any]:
    """What the person at the browser may see of it."""
    if not request.user.has_perm("accounts.view_auditevent"):
        return {"needs": _people_needs(request), "overview_events": False}
    sources = failures_by_address()
    return {
        "needs": [*_alarms(), *_attacks(sources), *_people_needs(request)],
        "overview_events": True,
        "day_cards": [_sign_ins(), _failed_sign_ins()],
        "sources": sources,
        "most_failures": MOST_FAILURES,
        "staff_actions": staff_actions(),
    }


def failures_by_address() -> list[dict[str, Any]]:
    """The addresses with most failures among the newest of the last day, with how many accounts they tried."""
    newest = _failed(AuditEvent.objects.filter(at__gte=Instant(plus=-DAY))).order_by(*audit_pages.ORDER).values("pk")[:MOST_FAILURES]
    rows = AuditEvent.objects.filter(pk__in=newest, address__isnull=False).order_by().values("address")
    counted = rows.annotate(failures=Sum(FAILURES), accounts=Count("target", distinct=True, filter=~Q(target="")))
    return [dict(each) for each in counted.order_by("-failures", "address")[:ADDRESSES]]


def staff_actions() -> list[AuditEvent]:
    """The newest of what staff did, their own sign-ins left out."""
    staff = list(User.objects.filter(is_staff=True).order_by().values_list("pk", flat=True)[:MOST_STAFF])
    events = AuditEvent.objects.filter(actor_id__in=staff, at__gte=Instant(plus=-7 * DAY)).exclude(
        event__in=(SUCCEEDED, FAILED, "user:second_factor:used", "user:reauthentication:succeeded")
    )
    rows = list(events.order_by(*audit_pages.ORDER)[:ACTIONS])
    audit_pages.name_people(rows)
    for row in rows:
        row.actor_name = row.names.get(row.actor_id, "")  # type: ignore[attr-defined]
    return rows


def _sign_ins() -> Card:
    day, before = (events.filter(event=SUCCEEDED).annotate(number=Value(1)) for events in _two_days())
    return Card(_("Sign-ins"), _added(day), _added(before), _events(event=SUCCEEDED, when="day"))


def _failed_sign_ins() -> Card:
    day, before = (_failed(events).annotate(number=FAILURES) for events in _two_days())
    return Card(_("Failed sign-ins"), _added(day), _added(before), _events(event=FAILED, when="day"))


def _two_days() -> tuple[QuerySet[AuditEvent], QuerySet[AuditEvent]]:
    """The events of the last 24 hours, and of those before."""
    day, before = Instant(plus=-DAY), Instant(plus=-2 * DAY)
    return AuditEvent.objects.filter(at__gte=day), AuditEvent.objects.filter(at__gte=before, at__lt=day)


def _failed(events: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
    return events.filter(event__in=(FAILED, LOCKED))


def _added(events: QuerySet[Any]) -> str:
    """The sum of `number` over so many rows at most: it is told in the same time, whatever the table holds."""
    found = events.order_by().values("pk", "number")[: MOST_COUNTED + 1].aggregate(rows=Count("pk"), total=Sum("number"))
    return f"{found['total']}+" if found["rows"] > MOST_COUNTED else str(found["total"] or 0)


def _alarms() -> list[Need]:
    recent = AuditEvent.objects.filter(at__gte=Instant(plus=-DAY)).order_by()
    return [Need(text, _events(event=event, when="day")) for event, text in ALARMS.items() if recent.filter(event=event).exists()]


def _attacks(sources: list[dict[str, Any]]) -> list[Need]:
    text = _("Many failed sign-ins come from one address: %(address)s.")
    return [Need(text % each, _events(address=each["address"], when="day")) for each in sources if each["failures"] >= ATTACK]


def _people_needs(request: HttpRequest) -> list[Need]:
    if not request.user.has_perm("accounts.view_user"):
        return []
    staff = User.objects.filter(is_staff=True, is_active=True).with_second_factor()
    url = f"{reverse('admin:accounts_user_changelist')}?is_staff__exact=1"
    lacking = staff.filter(second_factor_enrolled=False).order_by().exists()
    return [Need(_("Some staff have no second factor, so they cannot work here."), url)] if lacking else []


def _events(**filters: str) -> str:
    query = "&".join(f"{name}={value}" for name, value in filters.items())
    return f"{reverse('admin:accounts_auditevent_changelist')}?{query}"
