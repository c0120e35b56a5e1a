"""A span for each request, sent by OTLP over HTTP to where OpenTelemetry's variables say. Imported only where they do (authserver/otel.py).

What a span says is chosen here, name by name (docs/operations.md#traces): nothing that a client may write freely is in it.
"""

import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from threading import Thread
from typing import Any

from django.conf import settings
from django.core.handlers.wsgi import get_path_info
from django.db import connection
from django.urls import Resolver404, resolve
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from accounts.addresses import is_trusted_proxy
from authserver import __version__, logs
from authserver.middleware import PROBES
from oauth.http import noted_in

FLUSH_SECONDS = 5.0  # what a process that ends waits for its last spans to be taken
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]

_w3c = TraceContextTextMapPropagator()
# Before `start`, and in commands, spans are made by nobody and cost next to nothing.
_provider: TracerProvider | None = None
_tracer: trace.Tracer = trace.NoOpTracer()


def start() -> None:
    """In the process that serves, after it was forked: a thread sends what requests have left, and no request waits for it."""
    global _provider, _tracer
    resource = Resource.create({"service.version": __version__})
    if str(resource.attributes["service.name"]).startswith("unknown_service"):
        resource = resource.merge(Resource({"service.name": "authserver"}))
    _provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _tracer = _provider.get_tracer("authserver", __version__)
    logs.describe_request = _ids


def stop() -> None:
    """Send what is left. A collector that is away holds the process up no longer than FLUSH_SECONDS."""
    if _provider is not None:
        flushing = Thread(target=_provider.shutdown, daemon=True)
        flushing.start()
        flushing.join(FLUSH_SECONDS)


class Traced:
    """A WSGI application around another: all but the probes."""

    def __init__(self, application: Application) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] in PROBES:
            return self._application(environ, start_response)
        told: list[tuple[str, list[tuple[str, str]]]] = []

        def begin(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            told.append((status, headers))
            return start_response(status, headers, *error)

        method = environ["REQUEST_METHOD"] if environ["REQUEST_METHOD"] in METHODS else "_OTHER"
        known = {"http.request.method": method} | _route(environ)
        name = " ".join(filter(None, (method, known.get("http.route"))))
        span = _tracer.start_span(name, context=_parent(environ), kind=SpanKind.SERVER, attributes=known)
        statements = Statements()
        with ExitStack() as meanwhile:
            meanwhile.callback(span.end)
            # SECURITY: an exception's words may quote what a client sent; the log has them, under the same ids.
            meanwhile.enter_context(trace.use_span(span, record_exception=False, set_status_on_exception=False))
            if span.is_recording():
                meanwhile.enter_context(connection.execute_wrapper(statements))
            answer = self._application(environ, begin)
            _describe(span, environ, told, statements)
        return answer


class Statements:
    """Counts what a request asks the database, and the seconds that it waited for it."""

    def __init__(self) -> None:
        self.count, self.seconds = 0, 0.0

    def __call__(self, execute: Callable[..., Any], *arguments: Any) -> Any:
        began_at = time.perf_counter()
        try:
            return execute(*arguments)
        finally:
            self.count += 1
            self.seconds += time.perf_counter() - began_at


def _parent(environ: dict[str, Any]) -> Context:
    """The proxy's trace (W3C Trace Context), or an empty context: a trace of our own."""
    # SECURITY: anyone else could put their requests into somebody else's trace, or have all of theirs recorded.
    if is_trusted_proxy(environ.get("REMOTE_ADDR", ""), trusted=settings.TRUSTED_PROXIES):
        sent = {"traceparent": environ.get("HTTP_TRACEPARENT", ""), "tracestate": environ.get("HTTP_TRACESTATE", "")}
        return _w3c.extract(sent, context=Context())
    return Context()


def _route(environ: dict[str, Any]) -> dict[str, str]:
    """The pattern that the path fits, never the path: there may be an id in it, or what somebody took for one."""
    try:
        return {"http.route": f"/{resolve(get_path_info(environ)).route}"}
    except Resolver404:
        return {}


def _describe(span: Span, environ: dict[str, Any], told: list[tuple[str, list[tuple[str, str]]]], statements: Statements) -> None:
    client_id, grant_type = noted_in(environ)
    said = {"authserver.client_id": client_id, "authserver.grant_type": grant_type}
    for status, headers in told[-1:]:
        span.set_attribute("http.response.status_code", int(status[:3]))
        said["authserver.request_id"] = next((value for name, value in headers if name == "X-Request-ID"), "")
        if status.startswith("5"):
            span.set_attribute("error.type", status[:3])
            span.set_status(StatusCode.ERROR)
    span.set_attributes({name: value for name, value in said.items() if value})
    span.set_attribute("authserver.db.statements", statements.count)
    span.set_attribute("authserver.db.seconds", round(statements.seconds, 6))


def _ids() -> dict[str, str]:
    """What the lines of a request say besides: the trace in which it is."""
    current = trace.get_current_span().get_span_context()
    return {"trace_id": trace.format_trace_id(current.trace_id)} if current.is_valid else {}
