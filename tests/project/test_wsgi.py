"""The application that gunicorn serves: programs' requests skip what is for pages, and are answered as if they had not."""

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.http import StreamingHttpResponse

from authserver import wsgi
from authserver.patience import SLOW_SECONDS, Patience
from tests.wsgi import environ_of

pytestmark = pytest.mark.django_db

MACHINES = [
    ("POST", "/oauth/token"),
    ("GET", "/oauth/token"),
    ("POST", "/oauth/introspect"),
    ("GET", "/.well-known/jwks.json"),
    ("HEAD", "/.well-known/openid-configuration"),
    ("GET", "/.well-known/oauth-authorization-server"),
    ("GET", "/oauth/verify"),
    ("GET", "/oauth/userinfo"),
    ("GET", "/api/v1/me"),
    ("DELETE", "/api/v1/sessions"),
    ("GET", "/api/v1/admin/users"),
    ("POST", "/api/v1/password-reset/request"),
    ("GET", "/api/openapi.json"),
    ("GET", "/api/nowhere"),
    ("OPTIONS", "/oauth/token"),
]
PAGES = [
    ("GET", "/"),
    ("GET", "/admin/"),
    ("GET", "/oauth/device"),
    ("GET", "/api/docs"),
    ("GET", "/static/nowhere.css"),
    ("GET", "/nowhere"),
]
DIFFERS_EACH_TIME = {"X-Request-ID", "Content-Length"}


@pytest.fixture(autouse=True)
def _keep_the_tests_transaction(monkeypatch):
    """Django takes it for one that a request has forgotten, and closes the connection."""
    monkeypatch.setattr(BaseDatabaseWrapper, "close_if_unusable_or_obsolete", lambda self: None)


def ask(application, method, path):
    """Status and headers of an answer, without what differs each time."""
    changes = {"CONTENT_TYPE": "application/x-www-form-urlencoded", "CONTENT_LENGTH": "0", "HTTP_ORIGIN": "http://localhost:8080"}
    told = []
    answer = application(environ_of(method, path, **changes), lambda status, headers, _=None: told.append((status, headers)))
    list(answer)
    [(status, headers)] = told
    return status, sorted((name, value) for name, value in headers if name not in DIFFERS_EACH_TIME)


@pytest.mark.parametrize(("method", "path"), MACHINES)
def test_programs_are_answered_as_by_all_middleware(signing_key, method, path):
    assert ask(wsgi.through_django, method, path) == ask(WSGIHandler(), method, path)


@pytest.mark.parametrize(("paths", "handler"), [(MACHINES, "machines"), (PAGES, "pages")])
def test_which_of_the_two_a_path_belongs_to(paths, handler, monkeypatch):
    asked = []
    for name in ("machines", "pages"):
        monkeypatch.setattr(wsgi, name, lambda environ, start, name=name: asked.append(name))

    for _, path in paths:
        wsgi.through_django({"PATH_INFO": path}, None)

    assert asked == [handler] * len(paths)


def test_what_a_path_has_in_it_is_not_kept(signing_key):
    machines = wsgi.MachineHandler()
    machines.load_middleware()

    for _ in range(2):
        for path in ("/api/v1/me", "/api/v1/sessions/an-id", "/api/v1/sessions/another", "/api/nowhere"):
            list(machines(environ_of("GET", path), lambda status, headers, _=None: None))

    assert [*machines._found] == ["/api/v1/me"]


@pytest.mark.parametrize(("broken", "looked_at"), [({}, 0), ({"errors_occurred": True}, 1), ({"autocommit": False}, 1)])
def test_after_a_program_the_connections_are_looked_at_that_may_be_broken(signing_key, broken, looked_at, monkeypatch):
    seen = []
    monkeypatch.setattr(BaseDatabaseWrapper, "close_if_unusable_or_obsolete", lambda self: seen.append(self))

    with monkeypatch.context() as meanwhile:
        for name, value in ({"autocommit": True} | broken).items():  # the test has a transaction of its own
            meanwhile.setattr(connection, name, value)
        list(wsgi.machines(environ_of("GET", "/.well-known/jwks.json"), lambda status, headers, _=None: None))

    assert len(seen) == looked_at


def test_an_answer_that_is_sent_bit_by_bit_holds_its_thread_until_it_is_closed(monkeypatch):
    patience = Patience(threads=2)
    with patience.serving(is_page=False):
        patience.note(SLOW_SECONDS)
    monkeypatch.setattr(wsgi, "patience", patience)
    monkeypatch.setattr(wsgi, "pages", lambda environ, start_response: StreamingHttpResponse(["one", "two"]))

    answer = wsgi.through_django(environ_of("GET", "/"), None)

    with patience.serving(is_page=False):
        assert patience.is_full()
        assert b"".join(answer) == b"onetwo"
        assert patience.is_full()
        answer.close()
        assert not patience.is_full()
