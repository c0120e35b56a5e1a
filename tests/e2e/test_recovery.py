"""A backup while the server serves, a restore, what clients meet then, and what to do in an incident: as docs/operations.md prints it."""

import os
import re
import secrets
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import jwt
import psycopg
import pytest

from tests.container.operations import blocks
from tests.e2e.admin import admin_token
from tests.e2e.calls import SIGN_IN_FORM, refresh, sign_in
from tests.e2e.servers import ROOT, Server, authserver, new_database, serving
from tests.postgres import find_binaries, free_port

ENCRYPTION_KEY = secrets.token_hex(32)


@dataclass(frozen=True)
class Console:
    """The folder in which an operator types, beside the server's own environment."""

    folder: Path
    environment: dict[str, str]

    @classmethod
    def beside(cls, served: Server, folder: Path) -> "Console":
        (folder / "manage.py").symlink_to(ROOT / "manage.py")
        (folder / ".venv").symlink_to(sys.prefix)
        path = f"{find_binaries()}:{os.environ['PATH']}"
        return cls(folder, served.environment | {"PATH": path, "no_proxy": "localhost"})

    def paste(self, heading: str, *, typed: str = "", **variables: str) -> str:
        """What the lines under this heading print. Raises AssertionError when one fails."""
        return self.run("".join(blocks("sh", heading=heading)), typed=typed, **variables)

    def run(self, script: str, *, typed: str = "", **variables: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env=self.environment | variables,
            input=typed,
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=False,
            start_new_session=True,  # a command that asks for a password takes it from `typed`, and not from a terminal
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def served(start_server: Callable[..., Server]) -> Server:
    """A server of this module's own, on PostgreSQL: its secrets and keys change."""
    return start_server(AUTH_SERVICE__KEY_ENCRYPTION_KEYS=ENCRYPTION_KEY)


@pytest.fixture(scope="module")
def console(served: Server, tmp_path_factory: pytest.TempPathFactory) -> Console:
    return Console.beside(served, tmp_path_factory.mktemp("console"))


@pytest.fixture
def owner_token(served: Server) -> str:
    return admin_token(served)


@pytest.fixture
def restored_url(served: Server) -> Iterator[str]:
    """The database that the backup goes back to. It is not there yet, and dropped at the end."""
    url = served.environment["AUTH_SERVICE__DB_URL"]
    with new_database(url) as there:
        psql(url, f"DROP DATABASE {urlsplit(there).path.removeprefix('/')}")
        yield there


def psql(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


def test_after_a_restore_each_client_meets_what_the_page_says(served: Server, console: Console, restored_url: str, tmp_path: Path) -> None:
    [secret] = re.findall(r"shown once: (\S+)", served.bootstrap_output)
    database = {"DB_URL": served.environment["AUTH_SERVICE__DB_URL"]}
    with httpx.Client(base_url=served.base_url, timeout=20) as http:
        quiet, refreshed, ended, reused, busy = (sign_in(http)["refresh_token"] for _ in range(5))
        with Refreshing(busy, http=http) as busy_one:
            console.paste("Back up PostgreSQL", **database)
        newest = refresh(http, refresh(http, refreshed).json()["refresh_token"]).json()["refresh_token"]
        http.post("/oauth/revoke", data={"token": ended, "client_id": "codelab-flutter-app"})
        refresh(http, reused)
        assert refresh(http, reused).status_code == 400
        token = sign_in(http)
        lost, key = token["refresh_token"], jwt.get_unverified_header(token["access_token"])["kid"]
        served.manage("shell", "--command", REVOKED)
        console.paste("Export the audit log")

    restored = {"AUTH_SERVICE__DB_URL": restored_url, "RESTORED_URL": restored_url}
    console.paste("Restore PostgreSQL", **database | restored)
    at = (console.folder / "authserver.dump.time").read_text("utf-8").strip()
    with_export, without = blocks("sh", heading="After a restore")
    said = console.run(with_export, BACKUP_TIME=at, **restored)

    assert len(re.findall(r"^sessions ended one by one +2$", said, re.MULTILINE)) == 2  # of a dry run, and then of none
    assert re.search(r"^signing keys revoked +1$", said, re.MULTILINE)
    with again(served, restored_url, tmp_path) as http:
        assert refresh(http, quiet).status_code == 200
        assert refresh(http, newest).status_code == 200
        assert busy_one.refreshes > 1
        assert refresh(http, busy_one.token).status_code == 200
        assert [refresh(http, each).status_code for each in (ended, reused, lost)] == [400] * 3
        assert internal(secret, http=http) == 401
        assert key not in {each["kid"] for each in http.get("/.well-known/jwks.json").json()["keys"]}
        tokens = sign_in(http)
        assert jwt.get_unverified_header(tokens["access_token"])["kid"] != key

        # As if there were no export, of another backup: for that one nothing was done yet.
        said = console.run(without, BACKUP_TIME="2026-01-01T00:00:00Z", **restored)

        assert re.search(r"^sessions ended, all there were +\d+$", said, re.MULTILINE)
        assert refresh(http, tokens["refresh_token"]).status_code == 400


REVOKED = """
from datetime import timedelta
from accounts import clock
from accounts.actors import NOBODY
from oauth import clients, key_rotation, key_rows
from oauth.models import Client
clients.rotate_secret(Client.objects.get(client_id="codelab-internal"), keep_old_for=timedelta(0))
signing = key_rows.current().signer(clock.database_now())
key_rotation.revoke(signing.key.kid, actor=NOBODY, reason="a test")
"""


def internal(secret: str, *, http: httpx.Client) -> int:
    return http.post("/oauth/token", data={"grant_type": "client_credentials"}, auth=("codelab-internal", secret)).status_code


def test_a_file_of_sqlite_is_backed_up_whole_while_the_server_writes_to_it(tmp_path: Path) -> None:
    (tmp_path / "served").mkdir()
    (tmp_path / "console").mkdir()
    with authserver(tmp_path / "served", postgres_url="") as served, httpx.Client(base_url=served.base_url, timeout=20) as http:
        console = Console.beside(served, tmp_path / "console")
        token = sign_in(http)
        with Refreshing(token["refresh_token"], http=http) as one:
            console.paste("Back up SQLite", DB_FILE=f"{served.folder}/auth.db")
    console.paste("Restore SQLite", DB_FILE=f"{served.folder}/auth.db")

    with closing(sqlite3.connect(served.folder / "auth.db")) as restored:
        [generation] = restored.execute("SELECT generation FROM oauth_session WHERE revoked_at IS NULL").fetchone()
        assert restored.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert 0 <= one.refreshes - generation <= 16


class Refreshing:
    """Somebody refreshes while the block runs."""

    def __init__(self, token: str, *, http: httpx.Client) -> None:
        self.token, self.refreshes, self._http = token, 0, http
        self._stop, self._thread = threading.Event(), threading.Thread(target=self._run)

    def _run(self) -> None:
        # Not oftener than a restored session may catch up.
        while not self._stop.wait(0.02) and self.refreshes < 10:
            self.token = refresh(self._http, self.token).json()["refresh_token"]
            self.refreshes += 1

    def __enter__(self) -> "Refreshing":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


@contextmanager
def again(served: Server, database_url: str, folder: Path) -> Iterator[httpx.Client]:
    """The same server on the restored database."""
    port = free_port()
    environment = served.environment | {"AUTH_SERVICE__PORT": str(port), "AUTH_SERVICE__DB_URL": database_url}
    url, command = f"http://localhost:{port}", [sys.executable, "-m", "gunicorn", "-c", "authserver/gunicorn.py"]
    with (
        serving(command, cwd=ROOT, environment=environment, log=folder / "log", ready_url=f"{url}/ready"),
        httpx.Client(base_url=url, timeout=20) as http,
    ):
        yield http


# --- Incidents -----------------------------------------------------------------------------------


def test_a_signing_key_that_has_leaked_is_out_of_the_key_set_within_a_second(served: Server, console: Console) -> None:
    with httpx.Client(base_url=served.base_url, timeout=20) as http:
        kid = jwt.get_unverified_header(sign_in(http)["access_token"])["kid"]

        console.paste("A signing key has leaked")

        wait_for(lambda: kid not in {each["kid"] for each in http.get("/.well-known/jwks.json").json()["keys"]})
        assert jwt.get_unverified_header(sign_in(http)["access_token"])["kid"] != kid


def test_other_encryption_keys_open_what_the_old_ones_encrypted(served: Server, console: Console) -> None:
    folder = console.folder / "secrets"
    folder.mkdir()
    (folder / "key-encryption-keys").write_text(f"{ENCRYPTION_KEY}\n", "utf-8")
    files = {"AUTH_SERVICE__KEY_ENCRYPTION_KEYS": "", "AUTH_SERVICE__KEY_ENCRYPTION_KEYS_FILE": f"{folder}/key-encryption-keys"}

    console.paste("The token keys have leaked")
    said = console.paste("The key-encryption keys have leaked", **files)

    assert re.search(r"[1-9]", said), said
    new, old = (folder / "key-encryption-keys").read_text("utf-8").split()
    assert old == ENCRYPTION_KEY
    # Back again, for the server that serves.
    back = {"AUTH_SERVICE__KEY_ENCRYPTION_KEYS": f"{ENCRYPTION_KEY},{new}"}
    assert console.run(".venv/bin/python manage.py reencrypt_signing_keys", **back) == said
    assert len((folder / "token-keys").read_text("utf-8").strip()) == 64


def test_who_may_do_much_is_found_and_the_database_gets_another_password(served: Server, console: Console) -> None:
    url = served.environment["AUTH_SERVICE__DB_URL"]

    assert console.paste("A copy of the database was stolen", DB_URL=url, NEW_PASSWORD="a new one") == '"username":"admin"\nALTER ROLE\n'


def test_who_got_in_by_a_spray_is_found_and_shut_out(served: Server, console: Console, owner_token: str) -> None:
    with httpx.Client(base_url=served.base_url, timeout=20) as http:
        form = SIGN_IN_FORM | {"username": "test@example.com", "password": "test123"}
        user_id = jwt.decode(http.post("/oauth/token", data=form).json()["access_token"], options={"verify_signature": False})["sub"]
        psql(served.environment["AUTH_SERVICE__DB_URL"], SPRAYED)
        script, lock = blocks("sh", heading="Passwords are sprayed")

        said = console.run(script, NETWORK="127.0.0.")
        assert f'"actor_id":"{user_id}"\n' in said
        assert re.search(r'^ +1 "target":"127.0.0.0/24"$', said, re.MULTILINE)
        console.run(on(served, lock), USER_ID=user_id, ADMIN_TOKEN=owner_token)

        assert http.post("/oauth/token", data=form).json()["error"] == "invalid_grant"


SPRAYED = """
INSERT INTO accounts_auditevent (at, event, target, client_id, user_agent, error_id, detail)
VALUES (now(), 'network:password_spraying:detected', '127.0.0.0/24', '', '', '', '{"names": 20}')"""


def test_an_administrator_who_was_taken_over_is_alone_again_and_their_acts_are_told(
    served: Server, console: Console, owner_token: str
) -> None:
    admin_id = jwt.decode(owner_token, options={"verify_signature": False})["sub"]
    with httpx.Client(base_url=served.base_url, timeout=20, headers={"Authorization": f"Bearer {owner_token}"}) as http:
        assert http.post("/api/v1/admin/roles", json={"name": "thief", "reason": "a test"}).status_code == 201

        said = console.paste("An administrator was taken over", ADMIN="admin", ADMIN_ID=admin_id, typed="a new pass phrase\n" * 2)

        assert "admin has another password." in said
        assert '1 "event":"role:registration:created"' in said
        assert http.get("/api/v1/admin/roles").status_code == 401


def test_the_secret_of_a_client_that_has_leaked_works_no_more(served: Server, console: Console) -> None:
    said = console.paste("The secret of a client has leaked", CLIENT="codelab-internal")

    [secret] = re.findall(r"client_secret +(\S+)", said)
    with httpx.Client(base_url=served.base_url, timeout=20) as http:
        assert internal(secret, http=http) == 200


def on(served: Server, script: str) -> str:
    """The script for this server instead of the one that the page names."""
    return script.replace("curl ", "curl --silent --show-error --fail-with-body ").replace("http://localhost:8003", served.base_url)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
