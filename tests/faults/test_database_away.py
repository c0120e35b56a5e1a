"""The database lets nobody in for a while: who verifies tokens notices nothing, who asks for one is told to come back."""

import time
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from psycopg import sql

from tests.e2e.calls import SIGN_IN_FORM

DOCUMENTS = ("/.well-known/jwks.json", "/.well-known/oauth-authorization-server")
AWAY_SECONDS = 3.0  # several rounds of the poller of keys


@contextmanager
def shut(url):
    """The database of this URL takes no connections, and has ended those that there were."""
    parts = urlsplit(url)
    name = parts.path.lstrip("/")
    with psycopg.connect(parts._replace(path="/postgres").geturl(), autocommit=True) as connection:
        connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name)))
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        try:
            yield
        finally:
            connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(sql.Identifier(name)))


def fetch(server, path):
    """On a connection of its own, so that every process is asked sooner or later."""
    return httpx.get(f"{server.base_url}{path}", timeout=20)


@pytest.mark.checklist(98)
def test_the_keys_are_served_as_before_and_tokens_come_again_by_themselves(server, gunicorn, http):
    url = gunicorn.variable("AUTH_SERVICE__DB_URL")
    if not url.startswith("postgresql"):
        pytest.skip("SQLite is a file, and lets everybody in")
    before = {path: fetch(server, path) for path in DOCUMENTS}

    with shut(url):
        until = time.monotonic() + AWAY_SECONDS
        while time.monotonic() < until:
            for path in DOCUMENTS:
                answer = fetch(server, path)
                assert (answer.status_code, answer.content, answer.headers["ETag"]) == (
                    200,
                    before[path].content,
                    before[path].headers["ETag"],
                )
        refused = http.post("/oauth/token", data=SIGN_IN_FORM)
        ready = fetch(server, "/ready")

    assert (refused.status_code, refused.json()["error"]) == (503, "temporarily_unavailable")
    assert 1 <= int(refused.headers["Retry-After"]) <= 3
    assert (ready.status_code, ready.json()["database"], ready.json()["signing_key"]) == (503, "unavailable", "ok")
    deadline = time.monotonic() + 20
    while fetch(server, "/ready").status_code != 200 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert http.post("/oauth/token", data=SIGN_IN_FORM).status_code == 200
    assert "Traceback" not in server.output()
