"""The pages around the endpoints: landing, health, and what is answered where nothing is."""

import logging
import secrets
import sys

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render as render_template

from authserver import metrics_page
from oauth import keys
from oauth.errors import InvalidRequest, MethodNotAllowed, NotFound, TemporarilyUnavailable
from oauth.grant_types import offered
from oauth.http import NO_STORE, only, render, renders_oauth_errors, respond

NOTHING_HERE = "There is nothing here."

logger = logging.getLogger("authserver.failures")


@renders_oauth_errors
@only("GET", "HEAD")
def landing(request: HttpRequest) -> HttpResponse:
    return render_template(request, "landing.html", {"grant_types": offered()})


@renders_oauth_errors
@only("GET", "HEAD")
def live(request: HttpRequest) -> HttpResponse:
    """GET /live: the process answers."""
    return respond({"status": "ok"})


@renders_oauth_errors
@only("GET", "HEAD")
def ready(request: HttpRequest) -> HttpResponse:
    """GET /ready and /health: this process can issue tokens; 503 otherwise, with what is missing."""
    checks = {"database": _database(), "signing_key": keys.ring.state()}
    is_ok = all(state == "ok" for state in checks.values())
    return respond({"status": "ok" if is_ok else "unavailable", **checks}, status=200 if is_ok else 503)


@renders_oauth_errors
def metrics(request: HttpRequest) -> HttpResponse:
    """GET /metrics, for who has the token. Everybody else is answered as where nothing is, whatever they send."""
    if not _has_metrics_token(request):
        raise NotFound(NOTHING_HERE)
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


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return render(NotFound(NOTHING_HERE))


def server_error(request: HttpRequest) -> HttpResponse:
    """A bug. The traceback is in the log under the error_id of the answer."""
    error_id = secrets.token_hex(8)
    logger.error("internal error", exc_info=sys.exc_info(), extra={"error_id": error_id, "path": request.path})
    body = {"error": "server_error", "error_description": "The server failed. Tell its operator the error_id.", "error_id": error_id}
    return respond(body, status=500)


def _has_metrics_token(request: HttpRequest) -> bool:
    scheme, _, presented = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    # Header bytes come in as Latin-1.
    is_it = secrets.compare_digest(presented.strip().encode("latin-1", "replace"), settings.METRICS_TOKEN.encode())
    # SECURITY: a token that is not set equals the empty one.
    return bool(settings.METRICS_TOKEN) and scheme.lower() == "bearer" and is_it


def _database() -> str:
    """Whether it answers and takes writes."""
    is_postgresql = connection.vendor == "postgresql"
    try:
        with connection.cursor() as cursor:
            cursor.execute("SHOW transaction_read_only" if is_postgresql else "SELECT 'off'")
            [read_only] = cursor.fetchone()
    except (DatabaseError, InterfaceError):
        connection.close()
        return "unavailable"
    if read_only == "on":
        connection.close()
        return "read-only"
    return "ok"
