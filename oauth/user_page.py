"""What stands above the form on the page of a user: their state, what may be done, what locks them, their sessions, what happened."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from accounts import devices, user_locks, users
from accounts.models import AuditEvent, User
from oauth.models import Session
from oauth.user_acts import ACTS

MOST_SESSIONS, MOST_EVENTS = 20, 10


def panels(request: HttpRequest, user: User) -> dict[str, Any]:
    """For the template; each part is None to who may not see it. A few rows of an index each."""
    may = request.user.has_perm
    assert isinstance(request.user, User)  # noqa: S101 - for the type checker
    within_reach = users.may_touch(request.user, user)
    locks = user_locks.locks_of(user)
    return {
        "locks": locks if may("accounts.view_logincounter") else None,
        "is_locked": bool(locks),
        "acts": [
            {"label": act.label, "url": reverse(f"admin:{act.url_name}", args=(user.pk,)), "is_dangerous": act.is_dangerous}
            for act in ACTS
            if within_reach and may(act.permission) and act.fits(user)
        ],
        "live_sessions": _sessions(user) if may("oauth.view_session") else None,
        "may_revoke": within_reach and may("oauth.revoke_session"),
        "events": _events(user) if may("accounts.view_auditevent") else None,
        "is_out_of_reach": not within_reach,
    }


def _sessions(user: User) -> list[dict[str, Any]]:
    rows = Session.objects.live().filter(user=user).select_related("client").order_by("-created_at")[:MOST_SESSIONS]
    return [{"row": row, "device": devices.in_words(row.user_agent)} for row in rows]


def _events(user: User) -> list[AuditEvent]:
    return [*AuditEvent.objects.filter(target=str(user.pk)).order_by("-at", "-id")[:MOST_EVENTS]]
