"""A server moves from SQLite to PostgreSQL: whoever was signed in stays so, and what was spent stays spent."""

import os
import subprocess
import sys

import httpx
import pytest

from tests.e2e.calls import refresh, sessions, sign_in, verified_claims
from tests.e2e.servers import ROOT, authserver, new_database, run, serving
from tests.postgres import postgres

PASSWORD = "the-password-of-the-database"


@pytest.fixture
def postgresql():
    """The URL of a database without a table in it, with a password that this server does not ask for."""
    with new_database(os.environ["TEST_DB_URL"]) if os.environ.get("TEST_DB_URL") else postgres() as url:
        yield url.replace("authserver@", f"authserver:{PASSWORD}@")


def manage(environment, *arguments):
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", timeout=120, check=False)


def test_nobody_notices_that_the_database_is_another_one(postgresql, tmp_path):
    with authserver(tmp_path, postgres_url="") as server:
        with httpx.Client(base_url=server.base_url, timeout=20) as http:
            spent = sign_in(http)
            tokens = refresh(http, spent["refresh_token"]).json()
            other = sign_in(http)
        while_it_serves = manage(server.environment, "move_database", "--to", postgresql)

    told = manage(server.environment, "move_database", "--to", postgresql, "--dry-run")
    moved = manage(server.environment, "move_database", "--to", postgresql)
    again = manage(server.environment, "move_database", "--to", postgresql)

    environment = server.environment | {"AUTH_SERVICE__DB_URL": postgresql}
    command = [sys.executable, "-m", "gunicorn", "-c", "authserver/gunicorn.py"]
    with serving(command, cwd=ROOT, environment=environment, log=tmp_path / "new.log", ready_url=f"{server.base_url}/ready"):
        with httpx.Client(base_url=server.base_url, timeout=20) as http:
            claims = verified_claims(http, [tokens["access_token"], other["access_token"]])
            still_in = sessions(http, other["access_token"])
            refreshed = refresh(http, tokens["refresh_token"])
            replayed = refresh(http, spent["refresh_token"])
            ended = refresh(http, refreshed.json()["refresh_token"])
            signed_in = sign_in(http)
        events = run([sys.executable, "manage.py", "audit_export"], cwd=ROOT, environment=environment)

    assert while_it_serves.returncode == 1
    assert "others have it open: stop the server" in while_it_serves.stderr
    assert "nothing was" in told.stdout
    assert moved.returncode == 0, moved.stderr
    assert "Both databases read alike." in moved.stdout
    assert moved.stderr == ""
    assert again.returncode == 1
    assert "it is not empty" in again.stderr
    assert PASSWORD not in "".join(done.stdout + done.stderr for done in (while_it_serves, told, moved, again))
    assert len({claim["sid"] for claim in claims}) == 2
    assert still_in.status_code == 200
    assert refreshed.status_code == 200
    assert {claim["sid"] for claim in claims} >= {session["id"] for session in still_in.json()["results"]}
    assert (replayed.status_code, replayed.json()["error"]) == (400, "invalid_grant")
    assert (ended.status_code, ended.json()["error"]) == (400, "invalid_grant")
    assert signed_in["token_type"] == "Bearer"
    assert [line for line in events.splitlines() if "session:refresh_token:reused" in line]
    assert events.count("user:sign_in:succeeded") == 3
