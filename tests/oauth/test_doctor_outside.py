"""What the doctor makes of the answers that it gets under the issuer; a real server is asked in tests/e2e/test_doctor.py."""

import json
import os
import socket
import ssl
import threading
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network

import pytest

from oauth.doctor import outside
from oauth.doctor.asking import Answer, Unreachable, ask
from oauth.doctor.findings import Level
from tests.e2e.nginx import make_certificate, need
from tests.postgres import free_port

ISSUER = "https://auth.example.com"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Site(ThreadingHTTPServer):
    """Answers every path alike, and keeps what it was asked."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.headers, self.body, self.asked = 200, {}, b"{}", []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append((self.command, self.path, self.headers["X-Forwarded-For"]))
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.server.body)

    do_POST = do_GET

    def log_message(self, *_):
        pass


@contextmanager
def served(site):
    thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.shutdown()
        thread.join()
        site.server_close()


@pytest.fixture
def site():
    with served(Site()) as made:
        yield made


def answer(status=200, body=None, **headers):
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(body or {}).encode(), None)


# --- Asking --------------------------------------------------------------------------------------


def test_a_redirect_is_an_answer_and_is_not_followed(site):
    site.status, site.headers = 302, {"Location": "/elsewhere"}

    told = ask(f"{site.url}/path")

    assert (told.status, told.headers["location"], told.certificate_ends_at) == (302, "/elsewhere", None)
    assert site.asked == [("GET", "/path", None)]


def test_nobody_there_is_told_in_words(monkeypatch):
    with pytest.raises(Unreachable, match="the connection is refused"):
        ask(f"http://127.0.0.1:{free_port()}/")
    with pytest.raises(Unreachable, match="its name leads nowhere"):
        ask("http://nobody.invalid/")
    with pytest.raises(Unreachable, match="this machine says: "):
        ask("http://[fe80::1]:1/")  # an address of some link, and it does not say which


def test_who_does_not_answer_is_given_up(monkeypatch):
    monkeypatch.setattr("oauth.doctor.asking.SECONDS", 0.1)

    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(Unreachable, match="no answer within"):
        ask(f"http://127.0.0.1:{silent.getsockname()[1]}/")


def test_who_answers_drop_by_drop_is_given_up(monkeypatch):
    monkeypatch.setattr("oauth.doctor.asking.SECONDS", 0.2)

    def drop():
        with suppress(OSError):
            near, _ = slow.accept()
            with near:
                near.recv(65536)
                near.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                while True:
                    near.sendall(b"x")
                    time.sleep(0.02)

    with socket.create_server(("127.0.0.1", 0)) as slow:
        thread = threading.Thread(target=drop, daemon=True)
        thread.start()
        with pytest.raises(Unreachable, match="no answer within"):
            ask(f"http://127.0.0.1:{slow.getsockname()[1]}/")
        thread.join(5)


def test_the_end_of_a_certificate_is_read_and_one_that_nobody_trusts_is_told(tmp_path, monkeypatch):
    need("openssl")
    make_certificate(tmp_path, host="localhost")
    site = Site()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "fullchain.pem", tmp_path / "privkey.pem")
    site.socket = context.wrap_socket(site.socket, server_side=True)
    url = f"https://localhost:{site.server_address[1]}/"

    with served(site):
        with pytest.raises(Unreachable, match="its certificate is not trusted here"):
            ask(url)
        monkeypatch.setitem(os.environ, "SSL_CERT_FILE", str(tmp_path / "fullchain.pem"))
        ends_at = ask(url).certificate_ends_at

    assert timedelta(days=1) < ends_at - datetime.now(UTC) < timedelta(days=2, minutes=1)


# --- What it makes of the answers ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "level", "text"),
    [
        (answer(body={"issuer": ISSUER}), Level.OK, "is there"),
        (answer(body={"issuer": f"{ISSUER}/"}), Level.FAIL, "another issuer"),
        (answer(body=["no object"]), Level.FAIL, "another issuer"),
        (answer(301), Level.FAIL, "redirect"),
        (answer(400, {"error_description": "Use HTTPS."}), Level.FAIL, "for plain HTTP"),
        (answer(400, {"error_description": "This Host is not served here (AUTH_SERVICE__ALLOWED_HOSTS)."}), Level.FAIL, "the name"),
        (answer(502), Level.FAIL, "502"),
    ],
)
def test_metadata_are_there_or_it_is_told_what_stands_before_them(told, level, text):
    finding = outside.judge_metadata(told, issuer=ISSUER, url="https://auth.example.com/…")

    assert (finding.level, text in finding.found) == (level, True)


def test_no_metadata_under_the_issuer_fail(settings):
    settings.JWT_ISSUER = f"http://localhost:{free_port()}"

    [finding] = outside.issuer()

    assert (finding.level, "the connection is refused" in finding.found) == (Level.FAIL, True)


@pytest.mark.parametrize(
    ("told", "level"),
    [
        (answer(body={"keys": [{"kid": "a"}, {"kid": "b"}]}), Level.OK),
        (answer(body={"keys": [{"kid": "b"}]}), Level.FAIL),
        (answer(body={"keys": ["no object"]}), Level.FAIL),
        (answer(503), Level.FAIL),
    ],
)
def test_the_key_that_signs_is_among_those_that_verifiers_get(told, level):
    assert outside.judge_key_set(told, kid="a", url="https://auth.example.com/…").level is level


@pytest.mark.parametrize(("days", "level"), [(60, Level.OK), (20, Level.WARN), (2, Level.FAIL), (-1, Level.FAIL)])
def test_a_certificate_that_ends_soon_is_told(days, level):
    assert outside.judge_certificate(NOW + timedelta(days=days, hours=1), now=NOW).level is level


def test_browsers_are_told_to_stay_with_https():
    assert outside.judge_hsts(answer(strict_transport_security="max-age=63072000")).level is Level.OK
    assert outside.judge_hsts(answer(strict_transport_security='includeSubDomains; Max-Age="31536000"')).level is Level.OK
    assert outside.judge_hsts(answer()).level is Level.WARN
    assert outside.judge_hsts(answer(strict_transport_security="max-age=0; includeSubDomains")).level is Level.WARN


@pytest.mark.parametrize(("issuer", "level"), [("http://localhost:8003", Level.OK), ("http://auth.example.com", Level.FAIL)])
def test_plain_http_is_for_this_machine_alone(settings, issuer, level):
    settings.JWT_ISSUER = issuer

    assert [finding.level for finding in outside.https()] == [level]


def test_a_server_that_serves_plain_http_beside_https_fails(site, settings):
    assert outside.judge_plain_http(site.url).level is Level.FAIL
    site.status = 400
    assert outside.judge_plain_http(site.url).level is Level.OK
    assert outside.judge_plain_http(f"http://127.0.0.1:{free_port()}").level is Level.OK

    settings.JWT_ISSUER = "http://localhost:8003"
    assert list(outside.plain_http()) == []  # there is no HTTPS beside it


@pytest.mark.django_db
def test_a_request_that_left_no_trace_here_was_answered_by_another_database(site, settings):
    settings.JWT_ISSUER, site.status, site.body = site.url, 401, b'{"error_id": "0123456789abcdef"}'

    [finding] = outside.proxy()

    assert (finding.level, "401" in finding.found) == (Level.WARN, True)
    assert site.asked == [("POST", "/oauth/token", outside.NOBODY)]


@pytest.mark.parametrize(
    ("address", "trusted", "is_https", "level"),
    [
        ("198.51.100.7", ["10.0.0.0/8"], True, Level.OK),
        ("10.0.0.3", ["10.0.0.0/8"], True, Level.OK),
        (outside.NOBODY, ["10.0.0.0/8"], True, Level.FAIL),
        ("10.0.0.3", [], True, Level.WARN),
        ("127.0.0.1", [], False, Level.OK),
    ],
)
def test_who_asks_cannot_choose_its_address(address, trusted, is_https, level):
    finding = outside.judge_address(address, trusted=[ip_network(each) for each in trusted], is_https=is_https)

    assert finding.level is level
