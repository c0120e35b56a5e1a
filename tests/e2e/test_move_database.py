"""A server moves from SQLite to PostgreSQL: whoever was signed in stays so, and what was spent stays spent."""

import os
import subprocess
import sys
import time

import httpx
import psycopg
import pytest

from oauth.database_move import databases, move
from tests.e2e.calls import refresh, sessions, sign_in, verified_claims
from tests.e2e.servers import ROOT, authserver, new_database, server_command, serving
from tests.postgres import postgres

PASSWORD = "the-password-of-the-database"
OPEN_WITHIN_SECONDS = 10


@pytest.fixture
def postgresql():
    """The URL of a database without a table in it, with a password that this server does not ask for."""
    with new_database(os.environ["TEST_DB_URL"]) if os.environ.get("TEST_DB_URL") else postgres() as url:
        yield url.replace("authserver@", f"authserver:{PASSWORD}@")


def refusal_of_a_dry_run(source, *, to):
    """Who reads the keys has the file open soon after the start, and from then on."""
    deadline = time.monotonic() + OPEN_WITHIN_SECONDS
    while time.monotonic() < deadline:
        try:
            move.run(
                source=databases.settings_of(source),
                to=databases.settings_of(to),
                is_dry=True,
                begin=lambda label, total: lambda done: None,
            )
        except move.NothingMoved as refusal:
            return str(refusal)
        time.sleep(0.1)
    raise AssertionError("the server did not open its database")


def test_nobody_notices_that_the_database_is_another_one(postgresql, tmp_path, django_db_blocker):
    with authserver(tmp_path, postgres_url="") as server:
        with httpx.Client(base_url=server.base_url, timeout=20) as http:
            spent = sign_in(http)
            tokens = refresh(http, spent["refresh_token"]).json()
            other = sign_in(http)
        with django_db_blocker.unblock():
            refusal = refusal_of_a_dry_run(server.environment["AUTH_SERVICE__DB_URL"], to=postgresql)

    command = [sys.executable, "manage.py", "move_database", "--to", postgresql]
    moved = subprocess.run(command, cwd=ROOT, env=server.environment, capture_output=True, encoding="utf-8", timeout=120, check=False)

    environment = server.environment | {"AUTH_SERVICE__DB_URL": postgresql, "WEB_CONCURRENCY": "1"}
    gunicorn = server_command()
    ready_url, log = f"{server.base_url}/ready", tmp_path / "new.log"
    with (
        serving(gunicorn, cwd=ROOT, environment=environment, log=log, ready_url=ready_url),
        httpx.Client(base_url=server.base_url, timeout=20) as http,
    ):
        claims = verified_claims(http, [tokens["access_token"], other["access_token"]])
        still_in = sessions(http, other["access_token"])
        refreshed = refresh(http, tokens["refresh_token"])
        replayed = refresh(http, spent["refresh_token"])
        ended = refresh(http, refreshed.json()["refresh_token"])
        signed_in = sign_in(http)
    with psycopg.connect(postgresql) as connection:
        events = [event for (event,) in connection.execute("SELECT event FROM accounts_auditevent ORDER BY id")]

    assert "others have it open: stop the server" in refusal
    assert moved.returncode == 0, moved.stderr
    assert "Both databases read alike." in moved.stdout
    assert moved.stderr == ""
    assert PASSWORD not in moved.stdout
    assert len({claim["sid"] for claim in claims}) == 2
    assert still_in.status_code == 200
    assert refreshed.status_code == 200
    assert {claim["sid"] for claim in claims} >= {session["id"] for session in still_in.json()["results"]}
    assert (replayed.status_code, replayed.json()["error"]) == (400, "invalid_grant")
    assert (ended.status_code, ended.json()["error"]) == (400, "invalid_grant")
    assert signed_in["token_type"] == "Bearer"
    assert events.count("session:refresh_token:reused") == 1
    assert events.count("user:sign_in:succeeded") == 3
