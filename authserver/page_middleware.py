"""What pages for people pass beyond what every request does: a language, and allauth's view of the request."""

from collections.abc import Callable
from typing import cast

from allauth.account.middleware import AccountMiddleware
from django.http import HttpRequest, HttpResponse
from django.middleware.locale import LocaleMiddleware
from django.utils import translation

from authserver.middleware import MACHINE_PATHS, PROBES

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
    }
)


class Pages:
    """Endpoints of machines pass by: their answers know no language, and their time is dear."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.allauth = AccountMiddleware(get_response)
        self.page = LocaleMiddleware(self.allauth)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not is_page(request):
            return self.get_response(request)
        try:
            return cast(HttpResponse, self.page(request))
        finally:
            # It belongs to the thread, and the next request of the thread may be a machine's.
            translation.deactivate()

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """How allauth sends somebody away who has to prove who they are."""
        if not is_page(request):
            return None
        answer: HttpResponse | None = self.allauth.process_exception(request, exception)
        return answer


def is_page(request: HttpRequest) -> bool:
    path = request.path
    return path in PAGES_AMONG_MACHINES or not (path.startswith(MACHINE_PATHS) or path in PROBES)
