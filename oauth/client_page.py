"""What the page of a client shows before its form: state, acts, posture, live sessions (templates/admin/client.html)."""

from typing import Any

from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from accounts import clock, components
from oauth import client_list, posture
from oauth.models import Client, Session

SHOWN = 10
DISABLE, ROTATE, END_ALL = "oauth.disable_client", "oauth.rotate_client_secret", "oauth.end_all_sessions"


def pill_of(client: Client) -> SafeString:
    return components.pill(gettext("Active"), "ok") if client.is_active else components.pill(gettext("Disabled"), "bad")


def context(request: HttpRequest, object_id: str) -> dict[str, Any]:
    """Nothing for a row that is not there: the page says that itself."""
    client = Client.objects.filter(pk=object_id).first() if object_id.isdecimal() else None
    if client is None or not (request.user.has_perm("oauth.view_client") or request.user.has_perm("oauth.change_client")):
        return {}
    user = request.user
    return {
        "client": client,
        "pill": pill_of(client),
        "findings": [(each, _severity(each)) for each in findings_of(client)],
        "sessions": live_sessions_of(client) if user.has_perm("oauth.view_session") else None,
        "sessions_looked_at": client_list.NEWEST,
        "may_rotate_secret": user.has_perm(ROTATE) and not client.is_public,
        "may_disable": user.has_perm(DISABLE),
        "may_end_sessions": user.has_perm(END_ALL),
    }


def findings_of(client: Client) -> list[posture.Finding]:
    return posture.findings(client, now=clock.now())


def live_sessions_of(client: Client) -> list[Session]:
    """The newest that are live, of as many as the list looks at."""
    newest = Session.objects.filter(client=client).order_by("-created_at").values("pk")[: client_list.NEWEST]
    live = Session.objects.live().filter(pk__in=newest)
    return list(live.select_related("user").order_by("-created_at")[:SHOWN])


def _severity(finding: posture.Finding) -> SafeString:
    if finding.severity is posture.Severity.RISK:
        return components.pill(gettext("Risk"), "warn")
    return components.pill(gettext("Good to know"), "info")
