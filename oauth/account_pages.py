"""The pages on which people see where they are signed in and what they allowed to apps, end the one and take back the other."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from accounts import browser_proof, devices, epochs
from accounts.account_pages import changed_meanwhile, keep_browser
from accounts.actors import actor_of, person_of
from accounts.models import User
from accounts.recent_sign_in import requires_recent_sign_in
from oauth import consents, own_sessions, scope_texts
from oauth.errors import NotFound
from oauth.models import Consent, Session

MOST_SHOWN = 100
MOST_DIGITS = 18  # of a row's number


@require_http_methods(["GET", "HEAD"])
@never_cache
@login_required
def session_list(request: HttpRequest) -> HttpResponse:
    """GET /account/sessions: this browser, and the live sessions in apps, newest first."""
    here = actor_of(request)
    context = {
        "here": here | {"device": devices.in_words(here["user_agent"]), "since": browser_proof.of(request).auth_time},
        "sessions": _sessions_of(person_of(request)),
        "most_shown": MOST_SHOWN,
    }
    return render(request, "my_account/sessions.html", context)


@require_POST
@never_cache
@login_required
def end_session(request: HttpRequest, id: str) -> HttpResponse:
    """POST /account/sessions/{id}/end."""
    try:
        own_sessions.end(UUID(id), user=person_of(request), actor=actor_of(request))
    except (ValueError, NotFound):
        raise Http404 from None
    messages.success(request, _("The session has ended."))
    return redirect("account_sessions")


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_required
@requires_recent_sign_in
def end_others(request: HttpRequest) -> HttpResponse:
    """GET and POST /account/sessions/end-others: sign out of every app and every other browser."""
    if request.method != "POST":
        return render(request, "my_account/end_others.html")
    try:
        # One transaction: or this browser is signed out too when its session cannot be written.
        with transaction.atomic():
            keep_browser(request, epoch=own_sessions.end_all(person_of(request), actor=actor_of(request)))
        messages.success(request, _("You are signed out everywhere but here."))
    except epochs.Stale:
        messages.error(request, changed_meanwhile())
    return redirect("account_sessions")


@require_http_methods(["GET", "HEAD"])
@never_cache
@login_required
def app_list(request: HttpRequest) -> HttpResponse:
    """GET /account/apps: what apps were allowed, and since when."""
    rows = Consent.objects.filter(user=person_of(request)).select_related("client").order_by("-granted_at", "-pk")[:MOST_SHOWN]
    return render(request, "my_account/apps.html", {"apps": [_app(row) for row in rows]})


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_required
@requires_recent_sign_in
def disconnect(request: HttpRequest, id: str) -> HttpResponse:
    """GET and POST /account/apps/{id}/disconnect: take back what an app was allowed, and end its sessions."""
    consent = _consent(id, user=person_of(request))
    if request.method != "POST":
        return render(request, "my_account/disconnect.html", {"app": _app(consent)})
    consents.withdraw(person_of(request), client=consent.client, actor=actor_of(request))
    messages.success(request, _("%(app)s is disconnected.") % {"app": _name(consent)})
    return redirect("account_apps")


def _sessions_of(user: User) -> list[dict[str, Any]]:
    rows = Session.objects.live().filter(user=user).select_related("client").order_by("-created_at", "-pk")[:MOST_SHOWN]
    return [{"row": row, "name": row.client.name or row.client.client_id, "device": devices.in_words(row.user_agent)} for row in rows]


def _consent(id: str, *, user: User) -> Consent:
    if not (id.isascii() and id.isdecimal()) or len(id) > MOST_DIGITS:
        raise Http404
    # SECURITY: another user's is nothing to this one, and looks like nothing.
    consent = Consent.objects.select_related("client").filter(pk=id, user=user).first()
    if consent is None:
        raise Http404
    return consent


def _app(consent: Consent) -> dict[str, Any]:
    return {"row": consent, "name": _name(consent), "scopes": scope_texts.explained(consent.scope)}


def _name(consent: Consent) -> str:
    return str(consent.client.name or consent.client.client_id)
