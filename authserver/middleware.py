"""What every request passes on its way in, and every answer on its way out."""

import random
import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse, HttpResponsePermanentRedirect

from accounts.addresses import client_address, is_trusted_proxy
from authserver import logs
from authserver.crowding import crowding
from authserver.patience import patience
from oauth.errors import InvalidRequest, TemporarilyUnavailable
from oauth.http import render

# Asked by machines next door, by address and in clear.
PROBES = frozenset({"/health", "/ready", "/live", "/api/v1/health", "/metrics"})
SLOW = "the database is slow, and enough requests wait for it"
BUSY = "more requests come than are served, and this one has waited for long"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
MACHINE_PATHS = ("/oauth/", "/.well-known/", "/api/")
# Metrics answer strangers as where nothing is, and nothing is a page.
PAGES_AMONG_MACHINES = frozenset(
    {
        "/api/docs",
        "/metrics",
        "/oauth/authorize",
        "/oauth/authorize/decision",
        "/oauth/authorize/resume",
        "/oauth/device",
        "/oauth/logout",
        "/oauth/logout/confirmed",
    }
)


def is_page(request: HttpRequest) -> bool:
    return is_path_of_page(request.path)


def is_path_of_page(path: str) -> bool:
    return path in PAGES_AMONG_MACHINES or not (path.startswith(MACHINE_PATHS) or path in PROBES)


def request_id(environ: Mapping[str, Any]) -> str:
    """The proxy's, by which its log and ours find each other, or one of our own."""
    sent = environ.get("HTTP_X_REQUEST_ID", "")
    # SECURITY: anyone else could make their requests look like somebody else's in the log.
    if _REQUEST_ID.fullmatch(sent) and is_trusted_proxy(environ.get("REMOTE_ADDR", ""), trusted=settings.TRUSTED_PROXIES):
        return str(sent)
    return secrets.token_hex(8)


class Gate:
    """Settle address, scheme and id from trusted proxies alone, refuse a foreign Host and plain HTTP, add the security headers."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        id_of_request = request_id(request.META)
        with logs.serving(id_of_request):
            response = self._respond(request)
        response["X-Request-ID"] = id_of_request
        return response

    def _respond(self, request: HttpRequest) -> HttpResponse:
        self._settle_origin(request)
        response = self._refusal(request) or self.get_response(request)
        response.setdefault("Content-Security-Policy", settings.CONTENT_SECURITY_POLICY)
        response["X-Frame-Options"] = "DENY"
        response.setdefault("Cache-Control", "no-store")
        # A browser sends `Origin: null` with the forms of a no-referrer page, and Django refuses them as forged.
        is_page = response.get("Content-Type", "").startswith("text/html")
        response["Referrer-Policy"] = "same-origin" if is_page else "no-referrer"
        if not response.streaming and response.status_code not in {204, 304} and not response.has_header("Content-Length"):
            response["Content-Length"] = str(len(response.content))
        if request.method == "HEAD" and not response.streaming:
            response.content = b""
        return response

    @staticmethod
    def _settle_origin(request: HttpRequest) -> None:
        peer, proxies = request.META.get("REMOTE_ADDR", ""), settings.TRUSTED_PROXIES
        forwarded_for = request.META.get("HTTP_X_FORWARDED_FOR", "")
        request.META["authserver.address"] = client_address(peer=peer, forwarded_for=forwarded_for, trusted=proxies)
        # SECURITY: from anyone else this header is a claim, not a fact.
        if request.META.get("HTTP_X_FORWARDED_PROTO") == "https" and is_trusted_proxy(peer, trusted=proxies):
            request.META["wsgi.url_scheme"] = "https"

    @staticmethod
    def _refusal(request: HttpRequest) -> HttpResponse | None:
        if request.path in PROBES:
            return None
        try:
            host = request.get_host()
        except DisallowedHost:
            return render(InvalidRequest("This Host is not served here (AUTH_SERVICE__ALLOWED_HOSTS)."))
        if settings.REQUIRE_HTTPS and not request.is_secure():
            # SECURITY: a redirect would let a client go on sending secrets in clear, and nobody would notice.
            if request.method not in {"GET", "HEAD"} or not is_page(request):
                return render(InvalidRequest("Use HTTPS."))
            return HttpResponsePermanentRedirect(f"https://{host}{request.get_full_path()}")
        # The documents ask nothing of the database, and what is kept of them does not come by here. Pages have a refusal of their own.
        if (patience.is_full() or crowding.is_late()) and not (is_page(request) or request.path.startswith("/.well-known/")):
            return render(_too_many())
        return None


def _too_many() -> TemporarilyUnavailable:
    if patience.is_full():
        return TemporarilyUnavailable(SLOW)
    # Not all of a second at once, and nobody later than need be: while they are away the server may have nothing to do.
    return TemporarilyUnavailable(BUSY, retry_after=max(1, crowding.seconds_until_room() + random.randint(0, 2)))  # noqa: S311 - no secret
