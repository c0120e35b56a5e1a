"""The WSGI application that gunicorn serves: pages pass all middleware, and the requests of programs what concerns them."""

import os
from collections.abc import Callable, Iterable
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "authserver.settings")
django.setup(set_prefix=False)

from django.conf import settings  # noqa: E402 - when all is set up
from django.core.cache import close_caches  # noqa: E402
from django.core.handlers.exception import convert_exception_to_response  # noqa: E402
from django.core.handlers.wsgi import WSGIHandler  # noqa: E402
from django.core.signals import request_finished, request_started  # noqa: E402
from django.db import close_old_connections, connections, reset_queries  # noqa: E402
from django.http import HttpRequest, StreamingHttpResponse  # noqa: E402
from django.urls import ResolverMatch  # noqa: E402
from django.utils.module_loading import import_string  # noqa: E402

from authserver import preloading  # noqa: E402
from authserver.kept_answers import KeptAnswers  # noqa: E402
from authserver.middleware import is_path_of_page  # noqa: E402
from authserver.patience import patience  # noqa: E402


class MachineHandler(WSGIHandler):
    """Without what is for pages: sessions, CSRF, messages, static files. They do nothing for programs, and were a tenth of a refresh."""

    def load_middleware(self, is_async: bool = False) -> None:
        self._view_middleware: list[Any] = []
        self._template_response_middleware: list[Any] = []
        self._exception_middleware: list[Any] = []
        handler = convert_exception_to_response(self._get_response)  # type: ignore[attr-defined]
        for name in reversed(settings.MIDDLEWARE_OF_MACHINES):
            handler = convert_exception_to_response(import_string(name)(handler))
        self._middleware_chain = handler
        self._found: dict[str, ResolverMatch] = {}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """As Django's, but for its signals and for what it keeps of each request in its thread: nothing here listens or asks for it."""
        request = self.request_class(environ)
        response: Any = self._middleware_chain(request)
        cookies = (("Set-Cookie", each.output(header="")) for each in response.cookies.values())
        # Not items(), which looks each header up again by its name.
        start_response(f"{response.status_code} {response.reason_phrase}", [*response.headers._store.values(), *cookies])
        response._resource_closers.append(request.close)
        response._handler_class = type(self)
        if response.streaming:
            return response
        for close in response._resource_closers:
            close()
        _close_broken_connections()
        return [response.content]

    def resolve_request(self, request: HttpRequest) -> ResolverMatch:
        """A path that names nobody in it leads to the same view each time, and is looked for once: the token endpoint's took 13 µs."""
        match = self._found.get(request.path_info)
        if match is None:
            match = super().resolve_request(request)
            # SECURITY: what a path has in it is for strangers to choose: there are more of those than fit into memory.
            if not match.args and not match.kwargs:
                self._found[request.path_info] = match
        request.resolver_match = match
        return match


def _close_broken_connections() -> None:
    """As Django does after each request. A connection without an error, and outside of a transaction, needs no look."""
    for connection in connections.all(initialized_only=True):
        if connection.errors_occurred or not connection.autocommit:
            connection.close_if_unusable_or_obsolete()


pages, machines = WSGIHandler(), MachineHandler()


def through_django(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    is_page = is_path_of_page(environ["PATH_INFO"])
    serving = patience.serving(is_page=is_page)
    answer: Iterable[bytes] = ()
    try:
        answer = (pages if is_page else machines)(environ, start_response)
    finally:
        if isinstance(answer, StreamingHttpResponse):  # it asks the database while it is sent
            answer._resource_closers.append(serving.close)  # type: ignore[attr-defined]
        else:
            serving.close()
    return answer


application: Callable[[dict[str, Any], Any], Iterable[bytes]] = KeptAnswers(through_django)
if settings.TRACING:
    from authserver.tracing import Traced

    application = Traced(application)


# Of what Django does around each request this is needed once, and the caches have nothing to close: 0.05 ms.
request_started.disconnect(close_old_connections)
request_started.disconnect(reset_queries)
request_finished.disconnect(close_caches)
preloading.load()
