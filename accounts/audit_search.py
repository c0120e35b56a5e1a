"""What may be asked of the audit log: each question narrows by an index, and all of them within a time."""

import ipaddress
import re
from datetime import timedelta

from django.db.models import Q, QuerySet

from accounts import audit, audit_pages, identifiers
from accounts.clock import SteadyInstant
from accounts.models import AuditEvent, User

WINDOWS = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "": timedelta(days=7),
    "month": timedelta(days=30),
    "year": timedelta(days=365),
}
OUTCOMES = tuple(sorted({event.rpartition(":")[2] for event in audit.EVENTS}))
_ERROR_ID = re.compile(r"[0-9a-f]{16}")
Events = QuerySet[AuditEvent]


def of_event(events: Events, value: str) -> Events:
    """One event, or all of a subject: `user:`. Any other word is no filter."""
    wanted = [event for event in sorted(audit.EVENTS) if event == value or (value.endswith(":") and event.startswith(value))]
    return events.filter(event__in=wanted) if wanted else events


def of_outcome(events: Events, value: str) -> Events:
    """By the last word of an event. Any other word is no filter."""
    wanted = [event for event in sorted(audit.EVENTS) if event.rpartition(":")[2] == value]
    return events.filter(event__in=wanted) if wanted else events


def within(events: Events, window: str) -> Events:
    """Always bounded: seven days unless another of WINDOWS is named."""
    return events.filter(at__gte=SteadyInstant(plus=-WINDOWS.get(window, WINDOWS[""])))


def at_address(events: Events, text: str) -> Events:
    """Nothing for what is no address; all of them for nothing."""
    if not text:
        return events
    try:
        return events.filter(address=str(ipaddress.ip_address(text)))
    except ValueError:
        return events.none()


def about(events: Events, text: str) -> Events:
    """By whole values alone, each of which has an index: a part of one would read every row of the time."""
    return events.filter(_searched(text)) if text else events


def _searched(text: str) -> Q:
    known = audit_pages.as_uuid(text)
    if known is not None:
        return Q(actor_id=known) | Q(target=str(known))
    if _ERROR_ID.fullmatch(text.lower()):
        return Q(error_id=text.lower())
    try:
        return Q(address=str(ipaddress.ip_address(text)))
    except ValueError:
        pass
    try:
        user = User.objects.identified_by(identifiers.canonical(text)).first()
    except identifiers.InvalidIdentifier:
        user = None
    named = Q(target=text) | Q(client_id=text)
    return named if user is None else named | Q(actor_id=user.pk) | Q(target=str(user.pk))
