"""A log line names its request and holds no secret; and whoever looks for secrets in the lines would find them."""

import base64
import ipaddress
import json
import logging
import os
import re
import runpy
import secrets
import socket
import string
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote_plus

import pytest
from django.conf import settings
from django.test import Client
from django.urls import path
from gunicorn.config import Config

from accounts.models import User
from authserver import logs
from authserver.urls import urlpatterns
from authserver.worker import Worker
from tests import secrecy
from tests.conftest import PASSWORD
from tests.e2e.servers import kinds_of_secrets_in

ROOT = Path(__file__).resolve().parent.parent.parent
PROXY, STRANGER = "10.0.0.7", "203.0.113.5"


def record(**extra):
    made = logging.LogRecord("a.logger", logging.INFO, __file__, 1, "said", (), None)
    vars(made).update(extra)
    return made


@pytest.fixture
def lines():
    """The lines that our own loggers write meanwhile, each as its JSON object."""
    written = []

    class Handler(logging.Handler):
        def emit(self, record):
            written.append(json.loads(logs.JSONFormatter().format(record)))

    handler = Handler()
    logging.getLogger("authserver").addHandler(handler)
    yield written
    logging.getLogger("authserver").removeHandler(handler)


# --- The id of a request -------------------------------------------------------------------------


def test_both_forms_of_a_line_carry_the_id_while_the_request_is_served_and_not_after_it():
    with logs.serving("the-request"):
        served = json.loads(logs.JSONFormatter().format(record(status=200)))
        read = logs.ConsoleFormatter().format(record(status=200))

    assert (served["request_id"], served["status"]) == ("the-request", 200)
    assert read.endswith("said status=200 request_id=the-request")
    assert "request_id" not in json.loads(logs.JSONFormatter().format(record()))
    assert "request_id" not in logs.ConsoleFormatter().format(record())


def test_a_request_that_fails_leaves_no_id_behind():
    with pytest.raises(ZeroDivisionError), logs.serving("the-request"):
        raise ZeroDivisionError

    assert "request_id" not in json.loads(logs.JSONFormatter().format(record()))


def test_the_answer_names_the_id_that_is_in_the_log(post, lines):
    answer = post({"grant_type": "password"})

    [line] = lines
    assert line["error_id"] == answer.body["error_id"]
    assert re.fullmatch(r"[0-9a-f]{16}", line["request_id"])
    assert line["request_id"] == answer.response["X-Request-ID"]


@pytest.mark.parametrize("url", ["/", "/live", "/metrics", "/no-such-page", "/.well-known/jwks.json", "/admin/login/", "/api/v1/me"])
def test_every_answer_names_its_own(client, signing_key, url):
    ids = {client.get(url)["X-Request-ID"] for _ in range(3)}

    assert len(ids) == 3
    assert all(re.fullmatch(r"[0-9a-f]{16}", each) for each in ids)


def test_a_refusal_at_the_gate_has_one_too(client, db, lines):
    response = client.get("/", HTTP_HOST="evil.example")

    assert response.status_code == 400
    assert [line["request_id"] for line in lines] == [response["X-Request-ID"]]


@pytest.mark.parametrize(
    ("method", "url", "sent", "kind"),
    [
        ("GET", "/oauth/verify?" + "&".join(["a"] * 1001), "", "TooManyFieldsSent"),
        ("GET", "/api/v1/me?" + "&".join(["a"] * 1001), "", "TooManyFieldsSent"),
        ("POST", "/sign-in", "a" * 3_000_000, "RequestDataTooBig"),
    ],
)
def test_what_django_refuses_is_one_line_with_its_kind_and_no_traceback(db, caplog, method, url, sent, kind):
    browser = Client(enforce_csrf_checks=True)
    browser.cookies[settings.CSRF_COOKIE_NAME] = "a" * 32

    response = browser.generic(method, url, sent, content_type="application/x-www-form-urlencoded")

    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")
    [line] = caplog.records
    assert (line.name, line.reason, line.error_id) == ("authserver.refusals", kind, response.json()["error_id"])
    assert line.exc_info is None


@pytest.mark.checklist(100)
@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        ({}, "CSRF cookie not set."),
        ({"origin": "https://evil.example/a-secret-code"}, "Origin checking failed"),
        ({"referer": "https://evil.example/callback?code=a-secret-code"}, "Referer checking failed"),
    ],
)
def test_a_forged_form_is_told_of_without_what_it_came_with(db, caplog, settings, headers, kind):
    headers = {f"HTTP_{name.upper()}": value for name, value in headers.items()}

    response = Client(enforce_csrf_checks=True).post("/account/sessions/a-secret-code/end", secure=bool(headers), **headers)

    [line] = caplog.records
    assert response.status_code == 403
    assert (line.name, line.reason, line.status) == ("authserver.refusals", kind, 403)
    assert line.error_id in response.content.decode()
    assert "a-secret-code" not in logs.JSONFormatter().format(line)


def test_a_bug_is_logged_with_the_id_of_its_answer(client, lines, settings):
    def fail(request):
        raise ZeroDivisionError

    settings.ROOT_URLCONF = type(
        "Urls",
        (),
        {
            "urlpatterns": [path("bug/<str:id>", lambda request, id: fail(request)), *urlpatterns],
            "handler500": "authserver.pages.server_error",
        },
    )
    client.raise_request_exception = False

    response = client.get("/bug/a-token-of-alice")

    assert response.status_code == 500
    assert [line["request_id"] for line in lines] == [response["X-Request-ID"]]
    assert "ZeroDivisionError" in lines[0]["traceback"]
    assert lines[0]["route"] == "bug/<str:id>"
    assert "a-token-of-alice" not in json.dumps(lines)


def test_what_fails_outside_of_django_is_logged_without_the_address_that_was_asked_for(caplog):
    worker, request = Worker.__new__(Worker), SimpleNamespace(method="GET", uri="/callback?code=a-secret-code")
    worker.log, worker.cfg = logging.getLogger("gunicorn.error"), Config()
    server, client = socket.socketpair()

    with server, client:
        try:
            int("nothing")
        except ValueError as error:
            worker.handle_error(request, server, ("192.0.2.1", 1), error)
        answer = client.recv(1000)

    [line] = caplog.records
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert "ValueError" in logs.JSONFormatter().format(line)
    assert "a-secret-code" not in logs.JSONFormatter().format(line)


def test_requests_in_several_threads_at_once_keep_their_ids_apart(settings):
    barrier, found = threading.Barrier(4), {}

    def serve(name):
        for turn in range(20):
            with logs.serving(f"{name}-{turn}"):
                barrier.wait(10)
                said = json.loads(logs.JSONFormatter().format(record()))
                barrier.wait(10)
                found[name, turn] = said["request_id"]

    threads = [threading.Thread(target=serve, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == {(name, turn): f"{name}-{turn}" for name in "abcd" for turn in range(20)}


@pytest.fixture
def id_given_to(client, settings):
    settings.TRUSTED_PROXIES = (ipaddress.ip_network("10.0.0.0/8"),)

    def ask(sent, *, peer):
        return client.get("/live", HTTP_X_REQUEST_ID=sent, REMOTE_ADDR=peer)["X-Request-ID"]

    return ask


@pytest.mark.parametrize("sent", ["12345678", "7f3b1c9e-42aa.proxy_1", "x" * 64])
def test_the_id_that_a_trusted_proxy_sends_is_kept(id_given_to, sent):
    assert id_given_to(sent, peer=PROXY) == sent


@pytest.mark.checklist(45)
def test_the_id_that_anyone_else_sends_is_not(id_given_to):
    assert id_given_to("12345678", peer=STRANGER) != "12345678"


@pytest.mark.parametrize("sent", ["", "1234567", "x" * 65, "with space", "line\nbreak-of-it", 'quote"12345678', "1234567é", "12345678\n"])
def test_an_id_of_another_form_is_replaced_whoever_sends_it(id_given_to, sent):
    assert re.fullmatch(r"[0-9a-f]{16}", id_given_to(sent, peer=PROXY))


# --- What the settings let through ---------------------------------------------------------------

SQL = """
import logging, os
import django
django.setup()
from django.db import connection
connection.force_debug_cursor = True
with connection.cursor() as cursor:
    cursor.execute("SELECT %s", ["a-parameter-of-a-statement"])
logging.getLogger("oauth.keys").debug("our own line")
"""


def test_at_debug_our_own_lines_are_written_and_no_statement_with_its_parameters(tmp_path):
    variables = {"AUTH_SERVICE__LOG_LEVEL": "DEBUG", "AUTH_SERVICE__LOG_FORMAT": "json", "AUTH_SERVICE__DATA_DIR": str(tmp_path)}
    base = {name: value for name, value in os.environ.items() if not name.startswith("AUTH_SERVICE__")}
    environment = (
        base | variables | {"AUTH_SERVICE__ENV_FILE": "", "ENVIRONMENT": "development", "DJANGO_SETTINGS_MODULE": "authserver.settings"}
    )

    done = subprocess.run([sys.executable, "-c", SQL], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr
    assert "our own line" in done.stderr
    assert "a-parameter-of-a-statement" not in done.stderr


def test_no_level_that_can_be_set_reaches_the_statements(monkeypatch):
    for level in ("DEBUG", "INFO", "WARNING", "ERROR"):
        monkeypatch.setenv("AUTH_SERVICE__LOG_LEVEL", level)
        loggers = runpy.run_path(str(ROOT / "authserver/settings.py"))["LOGGING"]["loggers"]

        assert loggers["django"]["level"] == "INFO"
        assert not [name for name in loggers if name.startswith("django.db")]


# --- The search for secrets ----------------------------------------------------------------------


def new_secret():
    """Not by the maker that the run listens to, so that the run itself knows nothing of it."""
    return "".join(secrets.choice(string.ascii_letters + '"/+ é') for _ in range(40))


@pytest.fixture
def search(tmp_path):
    """What is found in the lines that are written meanwhile."""

    def run(write, *, remember):
        ledger, gathered = secrecy.Ledger(), secrecy.Gathering(tmp_path / "lines")
        with secrecy.watching(gathered, ledger):
            write()
        remember(ledger)
        gathered.close()
        return ledger.leaks(gathered.path)

    return run


FORMS = {
    "as it is": lambda value: value,
    "inside a sentence": lambda value: f"refused {value}, sorry",
    "as Python writes it": lambda value: {"password": value},
    "URL-encoded": quote_plus,
    "in Basic credentials": lambda value: base64.b64encode(f"robot:{quote_plus(value)}".encode()).decode(),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("place", ["message", "extra", "traceback", "exception below the level", "exception behind another"])
def test_a_secret_in_a_line_is_found_whatever_its_form_place_and_level(search, form, place):
    value, logger = new_secret().replace('"', "_"), logging.getLogger("planted.by.a.test")
    planted = FORMS[form](value)

    def write():
        match place:
            case "message":
                logger.debug("%s", planted)
            case "extra":
                logger.debug("said", extra={"detail": planted})
            case "traceback":
                logger.error("failed", exc_info=ValueError(planted))
            case "exception below the level":
                logger.debug("failed", exc_info=ValueError(planted))
            case "exception behind another":
                error = KeyError("another")
                error.__context__ = ValueError(planted)
                logger.debug("failed", exc_info=error)

    leaks = search(write, remember=lambda ledger: ledger.remember("a secret of this test", value, client_id="robot"))

    assert [(leak.kind, leak.logger) for leak in leaks] == [("a secret of this test", "planted.by.a.test")]
    assert "test_a_secret_in_a_line" in leaks[0].test
    assert value not in str(leaks[0])


def test_a_secret_with_quotes_is_found_as_json_writes_it(search):
    leaks = search(
        lambda: logging.getLogger("planted").info('a "quoted" secret'), remember=lambda ledger: ledger.remember("x", 'a "quoted" secret')
    )

    assert len(leaks) == 1


def test_lines_without_secrets_are_passed_over(search):
    value = new_secret()

    assert search(lambda: logging.getLogger("planted").info(value[:20]), remember=lambda ledger: ledger.remember("a secret", value)) == []


@pytest.mark.parametrize("member", ["access_token", "refresh_token"])
def test_tokens_are_remembered_from_every_answer(search, sign_in, member):
    def write():
        logging.getLogger("planted").debug("issued %s", sign_in().body[member])

    leaks = search(write, remember=lambda ledger: None)

    assert {leak.kind for leak in leaks} == {f"the {member} of an answer"}


def test_the_cookies_of_browsers_are_remembered(search, client, db, settings):
    User.objects.create_superuser("root", password=PASSWORD)

    def write():
        client.post("/sign-in", {"login": "root", "password": PASSWORD})
        logging.getLogger("planted").debug(client.cookies[settings.SESSION_COOKIE_NAME].value)

    assert {leak.kind for leak in search(write, remember=lambda ledger: None)} == {"a cookie"}


def test_secrets_of_clients_are_remembered_from_where_they_are_drawn(search, make_client):
    def write():
        logging.getLogger("planted").debug(make_client("robot", is_public=False).secret_value)

    assert len(search(write, remember=lambda ledger: None)) == 1


def test_what_is_left_out_is_left_out_with_a_reason_and_the_handlers_notice_nothing(search, caplog):
    def write():
        logging.getLogger("django.db.backends").debug("a parameter: %s", PASSWORD)
        logging.getLogger("planted").debug("below the level that is set")
        logging.getLogger("planted").warning("above it")

    assert search(write, remember=lambda ledger: ledger.remember("a password", PASSWORD)) == []
    assert all(secrecy.NOT_GATHERED.values())
    assert [each.message for each in caplog.records] == ["above it"]


@pytest.mark.parametrize("kind", ["a token", "a refresh token", "a demo password", "the password of the admin"])
def test_the_output_of_a_server_is_searched_too_but_for_the_banner(signed_in, kind):
    known = {"the password of the admin": "kPq3vX0aY2c-8h_Q"}
    banner = (
        "\nauthserver is ready on http://localhost:8003\n\nadmin / kPq3vX0aY2c-8h_Q, password123\nHealth http://localhost:8003/health\n"
    )
    planted = {
        "a token": signed_in.body["access_token"],
        "a refresh token": signed_in.body["refresh_token"],
        "a demo password": "password123",
    } | known

    assert kinds_of_secrets_in(f"{banner}12:00:00 INFO refused error_id=0123456789abcdef\n", known=known) == []
    assert kinds_of_secrets_in(f"{banner}12:00:00 INFO refused value={planted[kind]} status=400\n", known=known) == [kind]


LEAKY = """
import logging
from tests.conftest import PASSWORD, _no_secret_in_the_log, make_user

def test_leaks(make_user):
    make_user("alice")
    logging.getLogger("leaky").debug("alice has %s", PASSWORD)
"""


def test_a_run_that_leaks_fails_and_names_the_kind_and_the_logger_and_not_the_value(tmp_path):
    (tmp_path / "test_leaky.py").write_text(LEAKY, encoding="utf-8")
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "pyproject.toml", "--rootdir", str(ROOT)]

    done = subprocess.run(
        [sys.executable, *command, f"--basetemp={tmp_path / 'run'}", str(tmp_path / "test_leaky.py")],
        cwd=ROOT,
        env=os.environ | {"TEST_DB_URL": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 1, done.stdout + done.stderr
    assert "a user's password in a line of the logger leaky, during" in done.stdout
    assert "1 passed, 1 error" in done.stdout
    assert PASSWORD not in done.stdout
