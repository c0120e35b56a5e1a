"""The overview: what needs attention, the last day beside the day before, two weeks of sign-ins, who fails from where, what staff did.

No large table is counted: sign-ins come from the tally by the hour (accounts.audit_tally), live sessions from a sample, and whatever is
read of the audit is read by its index, up to a bound that is told.
"""

import secrets
import uuid
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.formats import number_format
from django.utils.translation import gettext_lazy as _

from accounts import audit_pages, audit_tally, clock, statements
from accounts.audit_tally import FAILED, FAILURES, LOCKED, SUCCEEDED, Counts, Tally
from accounts.clock import SteadyInstant
from accounts.models import AuditEvent, LoginCounter, User
from authserver.admin import sign_in_chart
from oauth import key_report, key_rows, keys
from oauth.key_schedule import State
from oauth.models import Session

DAY = timedelta(days=1)
MOST_FAILURES = 5000
MOST_LOCKED = 1000
ADDRESSES = 8
ATTACK = 50  # failures from one address, of those that were read
ACTIONS = 8
MOST_STAFF = 200
SAMPLE = 500
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
    """`note` says what the number is of."""

    label: Any
    value: str
    note: Any
    url: str


@dataclass(frozen=True)
class KeyCard:
    """The key that signs now; None where an instant is not known."""

    kid: str
    algorithm: str
    signs_since: datetime | None
    next_signs_from: datetime | None


def context(request: HttpRequest) -> dict[str, Any]:
    """What the person at the browser may see of it."""
    may = request.user.has_perm
    shown: dict[str, Any] = {"needs": [], "cards": [], "overview_events": may("accounts.view_auditevent")}
    if shown["overview_events"]:
        _add_events(shown)
    if may("accounts.view_logincounter"):
        shown["cards"].append(_locked_now())
    if may("oauth.view_session"):
        shown["cards"].append(_live_sessions())
    if may("oauth.view_signingkey"):
        shown["signing_key"], needs = _signing_key()
        shown["needs"] += needs
    shown["needs"] += _people_needs(request)
    return shown


def failures_by_address() -> list[dict[str, Any]]:
    """The addresses with most failures among the newest of the last day, with how many accounts they tried."""
    failures, accounts = Counter[str](), defaultdict[str, set[str]](set)
    # Each by its own part of the index of events: asked for both at once, PostgreSQL reads the whole day.
    for event in (FAILED, LOCKED):
        newest = AuditEvent.objects.filter(event=event, at__gte=SteadyInstant(plus=-DAY)).order_by("-at").annotate(number=FAILURES)
        for address, target, number in newest.values_list("address", "target", "number")[:MOST_FAILURES]:
            if address is not None:
                failures[address] += number
                accounts[address] |= {target} - {""}
    most = sorted(failures, key=lambda address: (-failures[address], address))[:ADDRESSES]
    return [{"address": address, "failures": failures[address], "accounts": len(accounts[address])} for address in most]


def staff_actions() -> list[AuditEvent]:
    """The newest of what staff did, their own sign-ins left out."""
    staff = list(User.objects.filter(is_staff=True).order_by().values_list("pk", flat=True)[:MOST_STAFF])
    events = AuditEvent.objects.filter(actor_id__in=staff, at__gte=SteadyInstant(plus=-7 * DAY)).exclude(
        event__in=(SUCCEEDED, FAILED, "user:second_factor:used", "user:reauthentication:succeeded")
    )
    rows = list(events.order_by(*audit_pages.ORDER)[:ACTIONS])
    audit_pages.name_people(rows)
    for row in rows:
        row.actor_name = row.names.get(row.actor_id, "")  # type: ignore[attr-defined]
    return rows


def live_sessions(*, sample: int = SAMPLE) -> tuple[int, bool]:
    """How many sessions are alive, and whether that is an estimate.

    Ids are drawn evenly, so the sessions behind a random id are a sample; of those, how many live is asked, and the table's size is what
    the database knows of it.
    """
    start = uuid.UUID(bytes=secrets.token_bytes(16))
    drawn = list(Session.objects.filter(pk__gte=start).order_by("pk").values_list("pk", flat=True)[:sample])
    if len(drawn) < sample:
        drawn += Session.objects.filter(pk__lt=start).order_by("pk").values_list("pk", flat=True)[: sample - len(drawn)]
    alive = Session.objects.live().filter(pk__in=drawn).count()
    if len(drawn) < sample:
        return alive, False
    return round(alive / sample * max(_about_how_many_sessions(), sample)), True


def _about_how_many_sessions() -> int:
    """Ended ones too. PostgreSQL's planner knows; SQLite's table is small enough to be counted."""
    estimate = statements.estimated_rows(Session._meta.db_table)
    return Session.objects.count() if estimate is None else estimate


def _add_events(shown: dict[str, Any]) -> None:
    sources, tally = failures_by_address(), audit_tally.read()
    days = tally.days()
    shown["needs"] += [*_alarms(), *_attacks(sources)]
    shown["cards"] += _sign_in_cards(tally)
    shown |= {
        "days": days,
        "drawing": sign_in_chart.draw(days),
        "is_whole": all(counts.is_whole for _, counts in days),
        "sources": sources,
        "most_failures": MOST_FAILURES,
        "staff_actions": staff_actions(),
    }


def _sign_in_cards(tally: Tally) -> list[Card]:
    day, before = tally.last_day(), tally.day_before()
    return [
        Card(_("Sign-ins"), _said(day, day.sign_ins), _note(_said(before, before.sign_ins)), _events(event=SUCCEEDED, when="day")),
        Card(_("Failed sign-ins"), _said(day, day.failures), _note(_said(before, before.failures)), _events(event=FAILED, when="day")),
        Card(_("Share that failed"), _percent(day), _note(_percent(before)), _events(event=FAILED, when="day")),
    ]


def _said(counts: Counts, number: int) -> str:
    return f"{number_format(number, force_grouping=True)}{'' if counts.is_whole else '+'}"


def _percent(counts: Counts) -> str:
    return "—" if counts.failure_rate is None else f"{number_format(counts.failure_rate, 1)}\N{NO-BREAK SPACE}%"


def _note(before: str) -> Any:
    return _("in the last 24 hours; %(before)s in those before") % {"before": before}


def _locked_now() -> Card:
    begun = AuditEvent.objects.filter(event=LOCKED)
    day = begun.filter(at__gte=SteadyInstant(plus=-DAY))
    before = begun.filter(at__gte=SteadyInstant(plus=-2 * DAY), at__lt=SteadyInstant(plus=-DAY))
    note = _("begun in the last 24 hours: %(day)s; in those before: %(before)s") % {"day": _up_to(day), "before": _up_to(before)}
    return Card(_("Locked now"), _up_to(LoginCounter.objects.locked()), note, reverse("admin:accounts_logincounter_changelist"))


def _up_to(rows: QuerySet[Any]) -> str:
    """How many there are, up to a bound."""
    found = rows.order_by().values("pk")[: MOST_LOCKED + 1].count()
    return f"{MOST_LOCKED}+" if found > MOST_LOCKED else str(found)


def _live_sessions() -> Card:
    number, is_estimate = live_sessions()
    note = _("estimated from a sample") if is_estimate else _("in apps, at this moment")
    return Card(_("Live sessions"), number_format(number, force_grouping=True), note, reverse("admin:oauth_session_changelist"))


def _signing_key() -> tuple[KeyCard | None, list[Need]]:
    schedule, now = key_rows.current(), clock.database_now()
    lines = key_report.lines(schedule, now=now)
    signing = next((line for line in lines if line.state is State.ACTIVE), None)
    standby = next((line for line in lines if line.state is State.STANDBY), None)
    needs, url = [], reverse("admin:oauth_signingkey_changelist")
    if signing is None:
        needs.append(Need(_("No key signs: nobody gets tokens. Run manage.py bootstrap."), url))
    elif standby is None:
        needs.append(Need(_("No signing key stands by: none can take over when the one that signs has to go."), url))
    if keys.ring.state() == "unreadable":
        needs.append(Need(_("The signing keys do not open with this server's encryption keys."), url))
    if signing is None:
        return None, needs
    return KeyCard(signing.kid, signing.algorithm, signing.signs_from, standby.signs_from if standby else None), needs


def _alarms() -> list[Need]:
    recent = AuditEvent.objects.filter(at__gte=SteadyInstant(plus=-DAY)).order_by()
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
