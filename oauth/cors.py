"""Which pages of other origins may read what we answer (the CORS protocol of the Fetch standard).

A preflight names no client, so any enabled client's origin may ask. The answer itself may be read by the origins of its own client alone.
"""

import time
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers

from accounts.reconnect import with_reconnect
from oauth import clients, http, origins
from oauth.models import Client

# What apps in browsers call; the others are for servers, or are pages.
PATHS = frozenset({"/oauth/token", "/oauth/revoke", "/oauth/userinfo", "/oauth/device_authorization"})
API = "/api/v1/"
PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key",
    "Access-Control-Max-Age": "600",
    "Cache-Control": "no-store",
}
READABLE_HEADERS = "Retry-After, WWW-Authenticate, X-Request-ID"
CACHE_SECONDS = 1.0
MOST_CLIENTS = 10_000


class Cors:
    """Middleware. A request without an Origin costs nothing."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        origin = request.META.get("HTTP_ORIGIN")
        if origin is None or not (request.path in PATHS or request.path.startswith(API)):
            return self.get_response(request)
        is_preflight = request.method == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in request.META
        response = _answer_preflight(origin) if is_preflight else None
        if response is None:
            response = self.get_response(request)
            if not is_preflight and _may_read(origin, client_id=http.noted_client(request)):
                # Never with Access-Control-Allow-Credentials: who calls shows a token, and no cookie counts here.
                response["Access-Control-Allow-Origin"] = origin
                response["Access-Control-Expose-Headers"] = READABLE_HEADERS
        patch_vary_headers(response, ("Origin",))
        return response


class OriginCache:
    """The origins of all enabled clients, read at most once a second, however many origins ask."""

    def __init__(self) -> None:
        self._known: frozenset[str] = frozenset()
        self._read_at: float | None = None

    def of_any_client(self) -> frozenset[str]:
        if self._read_at is None or time.monotonic() - self._read_at >= CACHE_SECONDS:
            read_at = time.monotonic()
            self._known, self._read_at = with_reconnect(_read), read_at
        return self._known

    def forget(self) -> None:
        self._known, self._read_at = frozenset(), None


cache = OriginCache()


def _answer_preflight(origin: str) -> HttpResponse | None:
    """None for an origin that nobody registered: it learns what any other OPTIONS does."""
    try:
        if not (_is_everywhere(origin) or origin in cache.of_any_client()):
            return None
    except http.STORE_DOWN as error:
        return http.render(http.store_down(error))
    response = HttpResponse(status=204, headers=PREFLIGHT | {"Access-Control-Allow-Origin": origin})
    del response["Content-Type"]
    return response


def _may_read(origin: str, *, client_id: str) -> bool:
    """`client_id` is of the client that was authenticated, or whose token came; empty before that."""
    if _is_everywhere(origin):
        return True
    try:
        if not client_id:
            # A refusal of who is not known yet: an app has to read its own mistake, and it tells nothing of anybody.
            return origin in cache.of_any_client()
        client = clients.cache.find(client_id)
    except http.STORE_DOWN as error:  # the answer stands, and goes unread
        http.store_down(error)
        return False
    # SECURITY: or a page of one client reads what another's token opens.
    return client is not None and client.is_active and origin in client.allowed_origins.split()


def _is_everywhere(origin: str) -> bool:
    """Of the server's own setting; in development also whatever runs on the same machine."""
    return origin in settings.CORS_ORIGINS or (settings.DEVELOPMENT and origins.is_local(origin))


def _read() -> frozenset[str]:
    rows = Client.objects.filter(is_active=True).exclude(allowed_origins="").order_by("pk").values_list("allowed_origins", flat=True)
    return frozenset(origin for row in rows[:MOST_CLIENTS] for origin in row.split())
