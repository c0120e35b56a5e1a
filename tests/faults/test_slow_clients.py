"""Clients that send half a request and wait are nginx's, and a mail server that is away is the outbox's: nobody who signs in notices.

HALF_OPEN=2000 makes it long.
"""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.e2e.calls import SIGN_IN_FORM
from tests.e2e.nginx import configuration, make_certificate, need, nginx
from tests.e2e.wire import token_head
from tests.faults.herd import allow_many_files
from tests.faults.site import ANEW, LATEST_ANSWER_SECONDS, Site
from tests.postgres import free_port

HALF_OPEN = int(os.environ.get("HALF_OPEN") or 100)
HALVES = (
    b"POST /oauth/token HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",  # a head that does not end
    token_head("Content-Length: 1000") + b"grant_type=pass",  # a body that does not end
)


@pytest.fixture
def proxy_port(site: Site, tmp_path: Path) -> Iterator[int]:
    """nginx as the documentation configures it."""
    need("nginx", "openssl")
    make_certificate(tmp_path, host="auth.example.com")
    port = free_port()
    text = configuration(tmp_path, server_port=site.server.port, plain_port=port, tls_port=free_port(), log="access.log")
    with nginx(tmp_path / "nginx", text, plain_port=port):
        yield port


def test_half_requests_wait_in_nginx_and_hold_no_thread(site: Site, proxy_port: int) -> None:
    row = site.row(f"{HALF_OPEN} half requests at nginx")

    allow_many_files()
    with ExitStack() as open_ones, httpx.Client(base_url=f"http://localhost:{proxy_port}", timeout=20) as http:
        for number in range(HALF_OPEN):
            half = open_ones.enter_context(socket.create_connection(("127.0.0.1", proxy_port)))
            half.sendall(HALVES[number % len(HALVES)])
        answers = []
        for _ in range(8):  # as many as there are threads
            began_at = time.monotonic()
            answers.append((http.post("/oauth/token", data=SIGN_IN_FORM, headers=ANEW).status_code, time.monotonic() - began_at))

    row.done = HALF_OPEN
    assert {status for status, _ in answers} == {200}
    assert max(seconds for _, seconds in answers) <= LATEST_ANSWER_SECONDS


def test_a_mail_server_that_is_away_keeps_nobody_from_signing_in(site: Site) -> None:
    row = site.row("mail server away")
    failures = site.server.output().count("a mail could not be sent")

    asked = site.http.post("/api/v1/password-reset/request", json={"email": "user@example.com"})
    answers = [site.ask() for _ in range(4)]
    deadline = time.monotonic() + 20
    while site.server.output().count("a mail could not be sent") == failures and time.monotonic() < deadline:
        answers.append(site.ask())
        time.sleep(0.2)

    row.done = 1
    assert asked.status_code == 202
    assert site.server.output().count("a mail could not be sent") > failures
    assert {answer.status_code for answer in answers} == {200}
    assert site.fetch("/ready").status_code == 200
