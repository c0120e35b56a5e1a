"""The pages around the endpoints: landing, health, and what is answered where nothing is."""

import logging
import secrets
import sys
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render as render_template
from django.template.loader import render_to_string
from django.utils.translation import gettext_lazy as _

from accounts import themes
from accounts.reconnect import with_reconnect
from authserver import admin_hosts, draining, metrics_page
from authserver.middleware import is_page
from authserver.patience import patience
from oauth import instances, keys
from oauth.errors import InvalidRequest, MethodNotAllowed, NotFound, TemporarilyUnavailable
from oauth.grant_types import offered
from oauth.http import NO_STORE, only, render, renders_oauth_errors, respond

NOTHING_HERE = "There is nothing here."

logger = logging.getLogger("authserver.failures")
refusals = logging.getLogger("authserver.refusals")


@renders_oauth_errors
@only("GET", "HEAD")
def landing(request: HttpRequest) -> HttpResponse:
    return render_template(request, "landing.html", {"grant_types": offered(), "has_admin": admin_hosts.is_for_staff(request)})


@renders_oauth_errors
@only("GET", "HEAD")
def live(request: HttpRequest) -> HttpResponse:
    """GET /live: the process answers."""
    return respond({"status": "ok"})


@renders_oauth_errors
@only("GET", "HEAD")
def ready(request: HttpRequest) -> HttpResponse:
    """GET /ready and /health: this process can issue tokens, and goes on; 503 otherwise, with what is missing.

    Warnings change nothing in that.
    """
    checks = {"database": _database(), "signing_key": keys.ring.state()}
    is_ok = all(state == "ok" for state in checks.values())
    status = "stopping" if draining.has_begun() else "ok" if is_ok else "unavailable"
    warnings = instances.neighbours.warnings()
    body = {"status": status, **checks, **({"warnings": list(warnings)} if warnings else {})}
    return respond(body, status=200 if status == "ok" else 503)


@renders_oauth_errors
def metrics(request: HttpRequest) -> HttpResponse:
    """GET /metrics, for who has the token. Everybody else is answered as where nothing is, whatever they send."""
    if not _has_metrics_token(request):
        return not_found(request, Http404())
    if request.method not in {"GET", "HEAD"}:
        raise MethodNotAllowed("Use GET, HEAD.", headers={"Allow": "GET, HEAD"})
    try:
        page = metrics_page.page()
    except TimeoutError as error:
        raise TemporarilyUnavailable(str(error)) from error
    return HttpResponse(page, content_type=metrics_page.CONTENT_TYPE, headers=NO_STORE)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """What Django refuses. The log has the kind alone: its message may quote what was sent."""
    refusal = InvalidRequest("The request is malformed.")
    refusal.reason = type(exception).__name__
    return render(refusal)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """A page of the admin that is not for this member of staff."""
    return _error_page(
        request, _("This page is not for you"), _("Your role does not include it. Whoever gave you the role can change it."), 403
    )


def forged(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form that another site may have sent, or whose cookie is gone (CSRF_FAILURE_VIEW)."""
    error_id = secrets.token_hex(8)
    # SECURITY: only what stands before the dash: after it Django quotes Origin and Referer, and that may be an address with a code in it.
    kind = reason.partition(" - ")[0]
    refusals.warning("refused", extra={"error": "forged_form", "reason": kind, "status": 403, "error_id": error_id})
    text = _("It came from another site, or it was open for too long. Go back, load the page again, and send it once more.")
    return _error_page(request, _("This form was not accepted"), text, 403, error_id=error_id)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """For machines as everywhere; a person who mistyped an address gets a page."""
    if not _is_for_a_person(request):
        return render(NotFound(NOTHING_HERE))
    return _error_page(request, _("There is nothing here"), _("The address is mistyped, or what was here is gone."), 404)


def unavailable(request: HttpRequest, refusal: TemporarilyUnavailable) -> HttpResponse:
    """Any page, while the database is away: nothing that the person did, and nothing that a traceback would tell."""
    response = _error_page(request, _("The server cannot answer right now"), _("Try again shortly."), refusal.status)
    response["Retry-After"] = refusal.headers["Retry-After"]
    return response


def server_error(request: HttpRequest) -> HttpResponse:
    """A bug. The traceback is in the log under the error_id of the answer."""
    error_id = secrets.token_hex(8)
    # Not the path: somebody may have put a token where an id belongs.
    route = request.resolver_match.route if request.resolver_match else ""
    logger.error("internal error", exc_info=sys.exc_info(), extra={"error_id": error_id, "route": route})
    if _is_for_a_person(request):
        text = _("The server failed. It is not your fault. Tell whoever runs it the number below.")
        return _error_page(request, _("Something went wrong"), text, 500, error_id=error_id)
    body = {"error": "server_error", "error_description": "The server failed. Tell its operator the error_id.", "error_id": error_id}
    return respond(body, status=500)


def _is_for_a_person(request: HttpRequest) -> bool:
    return is_page(request) and "text/html" in request.META.get("HTTP_ACCEPT", "")


def _error_page(request: HttpRequest, title: Any, text: Any, status: int, *, error_id: str = "") -> HttpResponse:
    # Without the request: what is shown of it asks the database, which may be what failed.
    context = {"title": title, "text": text, "error_id": error_id, **themes.context(request)}
    return HttpResponse(render_to_string("error.html", context), status=status)


def _has_metrics_token(request: HttpRequest) -> bool:
    scheme, _, presented = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    # Header bytes come in as Latin-1.
    is_it = secrets.compare_digest(presented.strip().encode("latin-1", "replace"), settings.METRICS_TOKEN.encode())
    # SECURITY: a token that is not set equals the empty one.
    return bool(settings.METRICS_TOKEN) and scheme.lower() == "bearer" and is_it


def _database() -> str:
    """Whether it answers and takes writes."""
    if patience.is_full():  # a look would take the last thread: the poller of the keys has looked
        return "slow" if patience.is_slow() else "ok"
    try:
        # A connection that broke some time ago says nothing about the database of now.
        is_read_only = with_reconnect(_is_read_only)
    except (DatabaseError, InterfaceError):
        connection.close()
        return "unavailable"
    if is_read_only:
        connection.close()
        return "read-only"
    return "ok"


def _is_read_only() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SHOW transaction_read_only" if connection.vendor == "postgresql" else "SELECT 'off'")
        [read_only] = cursor.fetchone()
    return bool(read_only == "on")
