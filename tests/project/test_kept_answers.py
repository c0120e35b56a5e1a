"""Whoever asks for a public document again gets what Django would say, without Django; and what Django would not say, never."""

import json
import re
from ipaddress import ip_network

import pytest
from django.db import OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper

from authserver import kept_answers, wsgi
from oauth import key_rotation, key_set_use, keys
from tests.wsgi import environ_of

pytestmark = pytest.mark.django_db

KEY_SET = "/.well-known/jwks.json"
PROXY, STRANGER = "10.0.0.7", "198.51.100.7"
IN_CLEAR, OVER_TLS = {}, {"HTTP_X_FORWARDED_PROTO": "https"}


@pytest.fixture(autouse=True)
def _keep_the_tests_transaction(monkeypatch):
    """Django takes it for one that a request has forgotten, and closes the connection."""
    monkeypatch.setattr(BaseDatabaseWrapper, "close_if_unusable_or_obsolete", lambda self: None)


@pytest.fixture(autouse=True)
def _one_proxy(settings):
    settings.TRUSTED_PROXIES = [ip_network("10.0.0.0/24")]
    settings.ALLOWED_HOSTS = ["auth.example.com", "auth.example.org"]


@pytest.fixture
def polled(signing_key, monkeypatch):
    """Keys as in a server process: renewed by a thread, which here is the test."""
    monkeypatch.setattr(keys.ring, "_polls", True)
    keys.ring.reload()


@pytest.fixture
def counted(monkeypatch):
    """What went through Django, by path."""
    went = []

    def through(environ, start_response):
        went.append(environ["PATH_INFO"])
        return wsgi.through_django(environ, start_response)

    monkeypatch.setattr(wsgi.application, "_application", through)
    return went


def ask(application, path=KEY_SET, *, method="GET", peer=PROXY, **headers):
    """Status, headers as a dict, and body."""
    told = []
    environ = environ_of(method, path, **{"HTTP_HOST": "auth.example.com", "REMOTE_ADDR": peer} | headers)
    body = b"".join(application(environ, lambda *head: told.append(head)))
    [(status, head, *_)] = told
    return status, dict(head), body


def without_ids(answer):
    status, headers, body = answer
    return status, {name: value for name, value in headers.items() if name != "X-Request-ID"}, re.sub(rb'"error_id":"\w+"', b"", body)


@pytest.mark.parametrize("path", sorted(kept_answers.PATHS))
@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"method": "HEAD"},
        {"method": "POST"},
        {"method": "OPTIONS"},
        {"HTTP_IF_NONE_MATCH": '"somebody-elses"'},
        {"HTTP_IF_NONE_MATCH": "*"},
        {"HTTP_ORIGIN": "https://app.example.com"},
        {"HTTP_ACCEPT_ENCODING": "gzip"},
        {"HTTP_HOST": "auth.example.org"},
        {"HTTP_HOST": "auth.example.net"},
        {"HTTP_HOST": "auth.example.com:8443"},
        {"HTTP_HOST": "no host"},
        {"HTTP_HOST": None, "SERVER_NAME": "auth.example.com"},
        {"QUERY_STRING": "kid=1"},
        OVER_TLS,
        OVER_TLS | {"peer": STRANGER},
        {"wsgi.url_scheme": "https", "peer": STRANGER},
    ],
    ids=str,
)
@pytest.mark.parametrize("requires_https", [False, True])
def test_every_answer_is_the_one_that_django_gives(polled, settings, path, asked, requires_https):
    settings.REQUIRE_HTTPS = requires_https
    ask(wsgi.application, path)
    ask(wsgi.application, path, **OVER_TLS)

    expected = without_ids(ask(wsgi.through_django, path, **asked))

    assert without_ids(ask(wsgi.application, path, **asked)) == expected
    assert without_ids(ask(wsgi.application, path, **asked)) == expected


def test_who_asks_again_skips_django_and_is_told_304_as_well(polled, counted):
    _, headers, body = ask(wsgi.application)
    again = ask(wsgi.application)
    known = [ask(wsgi.application, HTTP_IF_NONE_MATCH=headers["ETag"]) for _ in range(3)]

    assert again[2] == body
    assert {status for status, _, _ in known} == {"304 Not Modified"}
    assert counted == [KEY_SET] * 2


def test_what_was_kept_for_https_is_not_told_in_clear(polled, settings):
    settings.REQUIRE_HTTPS = True
    assert ask(wsgi.application, **OVER_TLS)[0] == "200 OK"

    assert ask(wsgi.application, **IN_CLEAR)[0] == "400 Bad Request"
    assert ask(wsgi.application, peer=STRANGER, **OVER_TLS)[0] == "400 Bad Request"


def test_each_request_has_an_id_of_its_own(polled):
    ids = [ask(wsgi.application)[1]["X-Request-ID"] for _ in range(3)]
    from_proxy = [ask(wsgi.application, HTTP_X_REQUEST_ID=f"request-of-proxy-{number}")[1]["X-Request-ID"] for number in range(2)]
    claimed = ask(wsgi.application, peer=STRANGER, HTTP_X_REQUEST_ID="request-of-proxy-0")[1]["X-Request-ID"]

    assert len(set(ids)) == 3
    assert from_proxy == ["request-of-proxy-0", "request-of-proxy-1"]
    assert claimed != "request-of-proxy-0"


def test_another_key_shows_with_the_next_look_at_the_keys(polled):
    before = json.loads(ask(wsgi.application)[2])
    ask(wsgi.application)
    key_rotation.ensure_standby()
    keys.ring.reload()

    assert len(json.loads(ask(wsgi.application)[2])["keys"]) == len(before["keys"]) + 1


def test_each_answer_of_the_key_set_is_counted_and_no_others(polled):
    key_set_use.tally.flush()
    for _ in range(3):
        _, headers, _ = ask(wsgi.application)
        ask(wsgi.application, "/.well-known/openid-configuration")
    for _ in range(2):
        ask(wsgi.application, HTTP_IF_NONE_MATCH=headers["ETag"])

    assert key_set_use.tally._answered == {200: 3, 304: 2}


def test_a_refusal_is_never_kept(polled, counted):
    for _ in range(2):
        assert ask(wsgi.application, HTTP_HOST="auth.example.net")[0] == "400 Bad Request"

    assert len(counted) == 2


def test_who_asks_under_ever_new_etags_gets_no_memory_for_it(polled):
    for number in range(kept_answers.MOST + 10):
        ask(wsgi.application, HTTP_IF_NONE_MATCH=f'"{number}"')

    assert len(wsgi.application._kept[1]) <= kept_answers.MOST


def test_without_keys_and_database_the_answer_is_told_in_the_words_of_the_wire(signing_key, monkeypatch):
    def fail():
        raise OperationalError

    ask(wsgi.application)
    keys.ring.forget()
    monkeypatch.setattr(keys.key_rows, "current", fail)

    status, _, body = ask(wsgi.application)

    assert status == "503 Service Unavailable"
    assert json.loads(body)["error"] == "temporarily_unavailable"
