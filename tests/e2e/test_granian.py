"""Granian in gunicorn's place: what it may not do worse.

SERVED_BY=granian holds it to every other test of this folder and of tests/faults.
"""

import secrets
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.e2e.calls import SIGN_IN_FORM, refresh, refresh_form, sign_in
from tests.e2e.servers import ROOT, Server, authserver, clean_environment
from tests.e2e.wire import LAST_CHUNK, ODD_HEADERS, Answer, Wire, burst, chunks, form_request, token_head
from tests.faults.processes import Gunicorn
from tests.postgres import free_port

pytest.importorskip("granian")

SIGN_IN = form_request(SIGN_IN_FORM)
BODY = SIGN_IN.partition(b"\r\n\r\n")[2]
LENGTH = f"Content-Length: {len(BODY)}"
LIVE = b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n"
READ_SECONDS = 10  # authserver/rsgi.py
DRAIN_SECONDS = 1
HALF_OPEN = 600  # fewer than CONNECTIONS of authserver/granian.py, for where one process serves


@pytest.fixture(scope="module")
def granian(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with authserver(
        tmp_path_factory.mktemp("granian"),
        served_by="granian",
        AUTH_SERVICE__TRUSTED_PROXIES="127.0.0.1/32",
        AUTH_SERVICE__RATE_LIMIT_PER_IP="100000000/m",
    ) as server:
        yield server


@pytest.fixture
def http(granian: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=granian.base_url, timeout=20) as client:
        yield client


def ask(server: Server, request: bytes, *, half_close: bool = False) -> tuple[Answer | None, Answer | None]:
    """What is answered to it, and what comes after: None for the end of the connection."""
    with Wire(server.port) as wire:
        wire.send(request)
        if half_close:
            wire.half_close()
        answer = wire.read()
        wire.send(LIVE)
        return answer, wire.read()


def address_of_the_last_event(server: Server) -> str:
    """As the audit has it."""
    url, statement = server.environment["AUTH_SERVICE__DB_URL"], "SELECT address FROM accounts_auditevent ORDER BY id DESC LIMIT 1"
    with psycopg.connect(url) if url.startswith("postgresql") else sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        [address] = connection.execute(statement).fetchone()
    return str(address)


# --- Whoever starts it ----------------------------------------------------------------------------
def start(*arguments: str, before: str = "pass") -> subprocess.CompletedProcess[str]:
    program = f"import runpy, sys; {before}; sys.argv[1:] = {arguments}; runpy.run_module('authserver.granian', run_name='__main__')"
    environment = clean_environment(ENVIRONMENT="development", AUTH_SERVICE__ENV_FILE="", AUTH_SERVICE__PORT=str(free_port()))
    command = [sys.executable, "-c", program]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_who_asks_for_help_is_told_that_there_are_no_options_and_nothing_is_served(tmp_path: Path) -> None:
    helped, refused = start("--help"), start("--workers", "4")

    assert (helped.returncode, refused.returncode) == (0, 2)
    assert "It takes no options" in " ".join(helped.stdout.split())
    assert "unrecognized arguments: --workers 4" in refused.stderr


def test_where_it_is_not_installed_it_says_how() -> None:
    done = start(before="sys.modules['granian'] = None")

    assert done.returncode == 1
    assert done.stderr.strip() == (
        "Granian is not installed: python -m pip install --require-hashes --requirement requirements-granian.txt"
    )


# --- Who sends ------------------------------------------------------------------------------------
@pytest.mark.checklist(82)
@pytest.mark.parametrize(
    "lines",
    [("X-Forwarded-For: 192.0.2.7", "X_Forwarded_For: 198.51.100.66"), ("X_Forwarded_For: 198.51.100.66", "X-Forwarded-For: 192.0.2.7")],
)
def test_a_header_with_an_underscore_does_not_stand_for_the_proxys(granian: Server, lines: tuple[str, str]) -> None:
    nobody = SIGN_IN_FORM | {"username": f"nobody-{secrets.token_hex(4)}"}  # of whom the first failure is told at once
    form = form_request(nobody).replace(b"\r\n", ("\r\n" + "\r\n".join(lines) + "\r\n").encode(), 1)

    answer, _ = ask(granian, form)

    assert answer is not None
    assert answer.status == 400
    assert address_of_the_last_event(granian) == "192.0.2.7"


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Authorization", "X-Request-ID"])
def test_a_header_that_the_server_could_not_see_is_refused(granian: Server, header: str) -> None:
    answer, end = ask(granian, b"GET /live HTTP/1.1\r\nHost: localhost\r\n" + header.encode() + b": \xe4, 192.0.2.7\r\n\r\n")

    assert answer is not None
    assert (answer.status, answer.json()["error"]) == (400, "invalid_request")
    assert end is None


@pytest.mark.checklist(17)
@pytest.mark.parametrize("lines", ODD_HEADERS, ids=lambda lines: lines[0][:20])
def test_headers_that_nobody_sends_are_the_clients_mistake(granian: Server, lines: list[str]) -> None:
    answer, _ = ask(granian, token_head(LENGTH, *lines) + BODY)

    assert answer is not None
    assert 400 <= answer.status < 500


# --- Bodies ---------------------------------------------------------------------------------------
@pytest.mark.checklist(16)
@pytest.mark.spec("RFC 9112", "6.3", "a request without a Content-Length may be refused with 411")
@pytest.mark.parametrize(
    "lines", [("Transfer-Encoding: chunked",), ("Transfer-Encoding: chunked", LENGTH), (LENGTH, "Transfer-Encoding: chunked")]
)
def test_a_body_in_chunks_is_refused_alone_or_with_a_length(granian: Server, lines: tuple[str, ...]) -> None:
    answer, end = ask(granian, token_head(*lines) + chunks(BODY, size=4096) + LAST_CHUNK)

    assert answer is not None
    assert (answer.status, answer.json()["error"]) == (411, "invalid_request")
    assert answer.headers["Connection"] == "close"
    assert end is None


@pytest.mark.checklist(10)
@pytest.mark.parametrize("length", [64 * 1024 + 1, 3_000_000])
def test_a_body_that_is_too_large_is_refused_and_the_connection_ends(granian: Server, length: int) -> None:
    answer, end = ask(granian, token_head(f"Content-Length: {length}") + b"x" * length)

    assert answer is not None
    assert answer.status == 413
    assert answer.headers["Connection"] == "close"
    assert end is None


def test_a_body_that_breaks_off_spends_nothing(granian: Server, http: httpx.Client) -> None:
    token = sign_in(http)["refresh_token"]
    body = form_request(refresh_form(token)).partition(b"\r\n\r\n")[2]

    answer, _ = ask(granian, token_head(f"Content-Length: {len(body) + 20}") + body, half_close=True)

    assert answer is None or answer.status == 400
    assert refresh(http, token).status_code == 200


def test_bodies_that_do_not_come_hold_no_thread_and_are_given_up(granian: Server, http: httpx.Client) -> None:
    with ExitStack() as open_ones:
        stalled = [open_ones.enter_context(Wire(granian.port)) for _ in range(100)]
        for wire in stalled:
            wire.send(token_head("Content-Length: 1000") + b"grant_type=pass")
        began_at = time.monotonic()
        statuses = {http.post("/oauth/token", data=SIGN_IN_FORM).status_code for _ in range(4)}
        meanwhile = time.monotonic() - began_at
        answers = [wire.read() for wire in stalled]
        waited = time.monotonic() - began_at

    assert statuses == {200}
    assert meanwhile < READ_SECONDS / 2
    assert [answer.status for answer in answers if answer is not None] == [408] * len(stalled)
    assert waited < READ_SECONDS + 10


def test_heads_that_do_not_end_keep_nobody_waiting(granian: Server, http: httpx.Client) -> None:
    with ExitStack() as open_ones:
        for _ in range(HALF_OPEN):
            half = open_ones.enter_context(socket.create_connection(("127.0.0.1", granian.port)))
            half.sendall(b"POST /oauth/token HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        began_at = time.monotonic()
        statuses = [http.post("/oauth/token", data=SIGN_IN_FORM).status_code for _ in range(4)]

    assert statuses == [200] * 4
    assert time.monotonic() - began_at < READ_SECONDS


# --- What every server does -----------------------------------------------------------------------
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/.well-known/jwks.json", 200),
        ("HEAD", "/.well-known/jwks.json", 200),
        ("GET", "/nothing", 404),
        ("GET", "/%00", 404),
        ("OPTIONS", "/oauth/token", 405),
    ],
)
def test_the_answer_is_that_of_the_application(http: httpx.Client, method: str, path: str, status: int) -> None:
    response = http.request(method, path)

    assert response.status_code == status
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert bool(response.content) is (method != "HEAD")


def test_who_holds_the_key_set_is_told_that_it_has_not_changed(http: httpx.Client) -> None:
    etag = http.get("/.well-known/jwks.json").headers["ETag"]

    response = http.get("/.well-known/jwks.json", headers={"If-None-Match": etag})

    assert (response.status_code, response.content) == (304, b"")


@pytest.mark.checklist(60)
def test_of_many_refreshes_of_one_token_at_once_one_is_answered(granian: Server, http: httpx.Client) -> None:
    token = sign_in(http)["refresh_token"]

    answers = burst(granian.port, [form_request(refresh_form(token))] * 12)

    statuses = Counter(answer.status for answer in answers)
    assert statuses[200] == 1
    assert set(statuses) <= {200, 400, 503}  # enough at once wait for the row to be told to come back


def test_a_process_that_is_killed_is_replaced_however_often(granian: Server, http: httpx.Client) -> None:
    master = Gunicorn.serving(granian.port)
    token = sign_in(http)["refresh_token"]

    for _ in range(3):
        before = set(master.workers())
        for worker in before:
            master.kill(worker)
        deadline = time.monotonic() + 20
        while len(set(master.workers()) - before) < len(before) and time.monotonic() < deadline:
            time.sleep(0.05)

    answer = httpx.post(f"{granian.base_url}/oauth/token", data=refresh_form(token), timeout=20)
    assert answer.status_code == 200
    assert len(master.workers()) == len(before)


def test_the_end_loses_no_request(tmp_path: Path) -> None:
    """Whoever asks is answered, or finds that nobody listens any more, and asks another server."""
    counts: Counter[str] = Counter()

    def app(url: str, token: str, *, keeps: bool) -> None:
        with httpx.Client(base_url=url, timeout=20) as client:
            while True:
                try:
                    answer = client.post("/oauth/token", data=refresh_form(token), headers={} if keeps else {"Connection": "close"})
                except httpx.ConnectError:
                    return
                counts[str(answer.status_code)] += 1
                token = answer.json()["refresh_token"]

    variables = {"AUTH_SERVICE__DRAIN_SECONDS": str(DRAIN_SECONDS), "AUTH_SERVICE__RATE_LIMIT_PER_IP": "100000000/m"}
    with ThreadPoolExecutor(4) as threads:
        with authserver(tmp_path, served_by="granian", **variables) as server:
            with httpx.Client(base_url=server.base_url, timeout=20) as client:
                tokens = [sign_in(client)["refresh_token"] for _ in range(4)]
            apps = [threads.submit(app, server.base_url, token, keeps=number % 2 == 0) for number, token in enumerate(tokens)]
            time.sleep(1)
        for each in apps:
            each.result()

    assert set(counts) == {"200"}
    assert counts["200"] > 20
    assert "Traceback" not in server.output()
