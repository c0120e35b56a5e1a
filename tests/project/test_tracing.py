"""What a span says of a request, whose trace it joins, and that nothing of it is there where nobody asked for it."""

import io
import ipaddress
import json
import logging
import socket
import sys
import time
from types import SimpleNamespace
from urllib.parse import urlencode

import pytest
from django.db.backends.base.base import BaseDatabaseWrapper
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from authserver import logs, otel, tracing, wsgi
from authserver.kept_answers import KeptAnswers
from tests.conftest import PASSWORD
from tests.e2e.servers import ROOT, clean_environment, run
from tests.otlp import collector
from tests.wsgi import environ_of

PROXY, STRANGER = "10.0.0.7", "203.0.113.5"
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{CALLER}-01"


@pytest.fixture
def spans(monkeypatch):
    """The spans that have ended; they go nowhere else."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "_tracer", provider.get_tracer("a test"))
    monkeypatch.setattr(logs, "describe_request", tracing._ids)
    yield exporter.get_finished_spans
    provider.shutdown()


def ask(method, path, application=wsgi.through_django, **extra):
    told = SimpleNamespace(status=None, headers={})

    def start_response(status, headers, *_):
        told.status, told.headers = status, dict(headers)

    answer = tracing.Traced(application)(environ_of(method, path, **extra), start_response)
    told.body = b"".join(answer)
    return told


@pytest.fixture(autouse=True)
def _keep_the_tests_transaction(monkeypatch):
    """Django takes it for one that a request has forgotten, and closes the connection."""
    monkeypatch.setattr(BaseDatabaseWrapper, "close_if_unusable_or_obsolete", lambda self: None)


def form(**fields):
    body = urlencode(fields).encode()
    given = {"CONTENT_TYPE": "application/x-www-form-urlencoded", "CONTENT_LENGTH": str(len(body))}
    return given | {"wsgi.input": io.BytesIO(body)}


@pytest.mark.django_db
def test_a_span_says_the_route_the_answer_the_client_and_the_time_of_the_database(spans, signing_key, alice, editor):
    sent = form(grant_type="password", username="alice", password=PASSWORD, client_id="editor")

    answer = ask("POST", "/oauth/token", **sent, HTTP_USER_AGENT="the-agent-of-alice")

    [span] = spans()
    assert answer.status.startswith("200")
    assert (span.name, span.kind, span.parent) == ("POST /oauth/token", trace.SpanKind.SERVER, None)
    said = dict(span.attributes)
    assert said.pop("authserver.db.statements") > 2
    assert 0 < said.pop("authserver.db.seconds") < 10
    assert said == {
        "http.request.method": "POST",
        "http.route": "/oauth/token",
        "http.response.status_code": 200,
        "authserver.client_id": "editor",
        "authserver.grant_type": "password",
        "authserver.request_id": answer.headers["X-Request-ID"],
    }
    assert not span.events


@pytest.mark.django_db
@pytest.mark.checklist(31)
@pytest.mark.parametrize(
    ("method", "path", "route"),
    [
        ("GET", "/confirm-email", "/confirm-email"),
        ("DELETE", "/api/v1/sessions/a-token-of-alice", "/api/v1/sessions/<str:id>"),
        ("GET", "/no/such/page/a-token-of-alice", None),
        ("A-TOKEN-OF-ALICE", "/oauth/token", "/oauth/token"),
    ],
)
def test_nothing_that_a_client_wrote_is_in_a_span(spans, method, path, route):
    sent = form(grant_type="a-token-of-alice", client_id="a-token-of-alice", password="a-token-of-alice")
    headers = {"HTTP_AUTHORIZATION": "Bearer a-token-of-alice", "HTTP_X_REQUEST_ID": "a-token-of-alice", "HTTP_REFERER": "a-token-of-alice"}

    ask(method, path, **sent, **headers, QUERY_STRING="code=a-token-of-alice")

    [span] = spans()
    assert span.attributes.get("http.route") == route
    assert "a-token-of-alice" not in span.to_json().lower()


@pytest.mark.parametrize("path", ["/live", "/ready", "/metrics"])
def test_probes_leave_no_span(spans, path):
    ask("GET", path, lambda environ, start: start("200 OK", []) or [])

    assert spans() == ()


@pytest.mark.parametrize(("peer", "joins"), [(PROXY, True), (STRANGER, False)])
def test_the_trace_of_a_trusted_proxy_is_joined_and_no_other(spans, settings, peer, joins):
    settings.TRUSTED_PROXIES = (ipaddress.ip_network("10.0.0.0/8"),)

    ask("GET", "/oauth/nowhere", REMOTE_ADDR=peer, HTTP_TRACEPARENT=TRACEPARENT)

    [span] = spans()
    assert (trace.format_trace_id(span.context.trace_id) == TRACE) is joins
    assert (span.parent is not None and trace.format_span_id(span.parent.span_id) == CALLER) is joins


@pytest.mark.parametrize("sent", ["", "00-zz", f"00-{'0' * 32}-{CALLER}-01", f"{TRACEPARENT},{TRACEPARENT}"])
def test_what_is_no_trace_begins_one_of_our_own(spans, settings, sent):
    settings.TRUSTED_PROXIES = (ipaddress.ip_network("10.0.0.0/8"),)

    ask("GET", "/oauth/nowhere", REMOTE_ADDR=PROXY, HTTP_TRACEPARENT=sent)

    [span] = spans()
    assert span.parent is None


def test_a_proxy_that_does_not_record_is_followed(spans, settings):
    settings.TRUSTED_PROXIES = (ipaddress.ip_network("10.0.0.0/8"),)

    answer = ask("GET", "/oauth/nowhere", REMOTE_ADDR=PROXY, HTTP_TRACEPARENT=f"{TRACEPARENT[:-2]}00")

    assert answer.status.startswith("404")
    assert spans() == ()


def test_a_failure_is_marked_and_its_words_are_not_kept(spans):
    def fail(environ, start_response):
        raise ValueError("a-token-of-alice")

    with pytest.raises(ValueError, match="a-token-of-alice"):
        ask("GET", "/oauth/nowhere", fail)
    ask("GET", "/oauth/nowhere", lambda environ, start: start("503 Service Unavailable", []) or [])

    raised, unavailable = spans()
    assert "a-token-of-alice" not in raised.to_json()
    assert (unavailable.status.status_code, unavailable.attributes["error.type"]) == (trace.StatusCode.ERROR, "503")


def test_a_line_of_the_log_names_the_trace_and_no_line_after_the_request_does(spans, caplog):
    answer = ask("GET", "/oauth/nowhere")

    [span] = spans()
    made = logging.LogRecord("a.logger", logging.INFO, __file__, 1, "said", (), None)
    with logs.serving("the-request"), trace.use_span(trace.NonRecordingSpan(span.context)):
        line = json.loads(logs.JSONFormatter().format(made))
    assert answer.status.startswith("404")
    assert (line["request_id"], line["trace_id"]) == ("the-request", trace.format_trace_id(span.context.trace_id))
    with logs.serving("the-request"):
        assert "trace_id" not in json.loads(logs.JSONFormatter().format(made))


@pytest.mark.parametrize(
    ("variables", "is_wanted"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "authserver"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_SDK_DISABLED": "True"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_the_variables_of_opentelemetry_say_whether_there_are_traces(variables, is_wanted):
    assert otel.is_wanted(variables) is is_wanted


LOADED = """
import json, os, sys
{before}
from authserver import {modules}
print(json.dumps({{
    "imported": sorted({{name.partition(".")[0] for name in sys.modules}} & {{"opentelemetry", "google"}}),
    "modules": sorted(name for name in sys.modules if name in ("authserver.tracing", "authserver.wsgi")),
    "traces": settings.TRACING,
    "notes": settings.CONFIGURATION_NOTES,
    "name": os.environ.get("OTEL_SERVICE_NAME"),
}}))
"""
ABSENT = """
class Absent:
    def find_spec(name, *_):
        if name.startswith("opentelemetry"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent)
"""


@pytest.fixture
def loaded(tmp_path):
    """What a process has that loads these modules, with these lines in its .env."""

    def load(*lines, modules="settings", before=""):
        (tmp_path / ".env").write_text("\n".join([*lines, ""]))
        environment = clean_environment(
            ENVIRONMENT="development", AUTH_SERVICE__ENV_FILE=str(tmp_path / ".env"), AUTH_SERVICE__DATA_DIR=str(tmp_path)
        )
        program = LOADED.format(before=before, modules=modules)
        return json.loads(run([sys.executable, "-c", program], cwd=ROOT, environment=environment).splitlines()[-1])

    return load


def test_where_nobody_asks_for_traces_nothing_of_them_is_imported(loaded):
    found = loaded(modules="gunicorn, settings, wsgi")

    assert found == {"imported": [], "modules": ["authserver.wsgi"], "traces": False, "notes": [], "name": None}
    assert isinstance(wsgi.application, KeptAnswers)


def test_the_file_of_the_settings_may_ask_for_them(loaded):
    found = loaded("OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318", "OTEL_SERVICE_NAME=auth-of-berlin")

    assert (found["traces"], found["notes"], found["name"]) == (True, [], "auth-of-berlin")


def test_without_the_packages_the_server_serves_and_says_what_to_install(loaded):
    found = loaded("OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318", before=ABSENT)

    assert (found["traces"], found["notes"]) == (False, [otel.NOT_INSTALLED])


def test_a_collector_that_does_not_answer_holds_up_neither_a_request_nor_the_end(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(tracing, "FLUSH_SECONDS", 0.2)
    for name in ("_provider", "_tracer"):
        monkeypatch.setattr(tracing, name, getattr(tracing, name))
    monkeypatch.setattr(logs, "describe_request", dict)
    with collector() as told:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", told.url)
        tracing.start()

        answer = ask("GET", "/oauth/nowhere")
        began_at = time.monotonic()
        tracing.stop()
        took = time.monotonic() - began_at

        assert answer.status.startswith("404")
        assert (told.asked, told.spans) == (1, [])
        assert 0.2 <= took < 5
        told.open.set()
        while not told.spans:
            assert time.monotonic() - began_at < 20
            time.sleep(0.01)


def test_a_collector_that_is_away_is_told_of_and_its_headers_are_not(monkeypatch, caplog):
    for name in ("_provider", "_tracer"):
        monkeypatch.setattr(tracing, name, getattr(tracing, name))
    monkeypatch.setattr(logs, "describe_request", dict)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{closed.getsockname()[1]}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=the-token-of-the-collector")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    tracing.start()

    answer = ask("GET", "/oauth/nowhere")
    tracing.stop()

    assert answer.status.startswith("404")
    assert [record for record in caplog.records if record.name.startswith("opentelemetry.exporter")]
    assert "the-token-of-the-collector" not in caplog.text
