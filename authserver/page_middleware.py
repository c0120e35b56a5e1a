"""What pages for people pass beyond what every request does: a language, allauth's view of them, an answer when the store is down."""

from collections.abc import Callable
from typing import cast

from allauth.account.middleware import AccountMiddleware
from django.http import HttpRequest, HttpResponse
from django.middleware.locale import LocaleMiddleware
from django.utils import translation

from authserver import pages
from authserver.middleware import PROBES, SLOW, is_page
from authserver.patience import patience
from oauth.errors import TemporarilyUnavailable
from oauth.http import STORE_DOWN, store_down


class Pages:
    """Endpoints of machines pass by: their answers know no language, and their time is dear."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.allauth = AccountMiddleware(get_response)
        self.page = LocaleMiddleware(self.allauth)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not is_page(request):
            return self.get_response(request)
        if patience.is_full() and request.path not in PROBES:  # the metrics ask nothing of the database
            return pages.unavailable(request, TemporarilyUnavailable(SLOW))
        try:
            return cast(HttpResponse, self.page(request))
        finally:
            # It belongs to the thread, and the next request of the thread may be a machine's.
            translation.deactivate()

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """How allauth sends somebody away who has to prove who they are; and what they see when the database is away, whatever the page."""
        if not is_page(request):
            return None
        if isinstance(exception, STORE_DOWN):
            return pages.unavailable(request, store_down(exception))
        answer: HttpResponse | None = self.allauth.process_exception(request, exception)
        return answer
