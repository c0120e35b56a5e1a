"""A backup while the server serves, a restore, and what its clients meet then: as docs/operations.md prints it."""

import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import jwt
import psycopg
import pytest

from tests.container.operations import blocks
from tests.e2e.calls import refresh, sign_in
from tests.e2e.console import (
    IN_CONTAINERS,
    Console,
    Refreshing,
    assert_keeps_the_last_whole_one,
)
from tests.e2e.servers import ROOT, Server, server_command, serving
from tests.postgres import free_port


@pytest.fixture(scope="module")
def served(start_server: Callable[..., Server]) -> Server:
    """A server of this module's own, on PostgreSQL: its secrets and keys change."""
    if not os.environ.get("TEST_DB_URL"):
        pytest.skip("tests/e2e/test_incidents.py has the pages of SQLite")
    return start_server()


@pytest.fixture(scope="module")
def console(served: Server, tmp_path_factory: pytest.TempPathFactory) -> Console:
    return Console.beside(served, tmp_path_factory.mktemp("console"))


@pytest.fixture
def restored_url(served: Server) -> Iterator[str]:
    """The database that the backup goes back to, made as the page says for a role that may make none; dropped at the end."""
    url, name = served.environment["AUTH_SERVICE__DB_URL"], f"restored_{secrets.token_hex(6)}"
    [create] = blocks("sql", heading="Restore PostgreSQL")
    psql(url, f"CREATE ROLE {name} LOGIN PASSWORD '{name}'")
    try:
        psql(url, create.replace("authserver_restored", name).replace("OWNER authserver ", f"OWNER {name} "))
        place = urlsplit(url).netloc.rpartition("@")[2]
        yield f"postgresql://{name}:{name}@{place}/{name}?target_session_attrs=primary"
    finally:
        psql(url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        psql(url, f"DROP ROLE {name}")


def flushes(url: str) -> bool:
    """Whether what a vacuum of this database writes goes on to the disk as it is written."""
    with psycopg.connect(url) as connection:
        row = connection.execute("SHOW backend_flush_after").fetchone()
    return row == ("256kB",)


def psql(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


def test_after_a_restore_each_client_meets_what_the_page_says(served: Server, console: Console, restored_url: str, tmp_path: Path) -> None:
    [secret] = re.findall(r"shown once: (\S+)", served.bootstrap_output)
    database = {"DB_URL": served.environment["AUTH_SERVICE__DB_URL"]}
    with httpx.Client(base_url=served.base_url, timeout=20) as http:
        quiet, refreshed, ended, reused, busy = (sign_in(http)["refresh_token"] for _ in range(5))
        with Refreshing(busy, http=http) as busy_one:
            console.run(blocks("sh", heading="Back up PostgreSQL")[0], **database)
        newest = refresh(http, refresh(http, refreshed).json()["refresh_token"]).json()["refresh_token"]
        http.post("/oauth/revoke", data={"token": ended, "client_id": "codelab-flutter-app"})
        refresh(http, reused)
        assert refresh(http, reused).status_code == 400
        token = sign_in(http)
        lost, key = token["refresh_token"], jwt.get_unverified_header(token["access_token"])["kid"]
        served.manage("shell", "--command", REVOKED)
        console.paste("Export the audit log")

    restored = {"AUTH_SERVICE__DB_URL": restored_url, "RESTORED_URL": restored_url}
    console.run(blocks("sh", heading="Restore PostgreSQL")[0], **restored)
    at = (console.folder / "authserver.dump.time").read_text("utf-8").strip()
    with_export, without, _ = blocks("sh", heading="After a restore")
    said = console.run(with_export, BACKUP_TIME=at, **restored)

    assert flushes(restored_url)
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


def test_a_dump_replaces_the_one_before_only_when_it_is_whole(served: Server, console: Console) -> None:
    here, in_containers = blocks("sh", heading="Back up PostgreSQL")
    url = served.environment["AUTH_SERVICE__DB_URL"]
    away = f"postgresql://authserver@127.0.0.1:{free_port()}/authserver"

    for script, database, no_database in (
        (here, {"DB_URL": url}, {"DB_URL": away}),
        (as_in_containers(in_containers, url), in_the_container(url), in_the_container(away)),
    ):
        assert_keeps_the_last_whole_one(console, "authserver.dump", script, database=database, away=no_database)


def test_in_containers_what_was_ended_since_the_backup_is_ended_again(served: Server, console: Console) -> None:
    url, name = served.environment["AUTH_SERVICE__DB_URL"], f"restored_{secrets.token_hex(6)}"
    restored = urlsplit(url)._replace(path=f"/{name}").geturl()
    _, back_up = blocks("sh", heading="Back up PostgreSQL")
    _, restore = blocks("sh", heading="Restore PostgreSQL")
    *_, after = blocks("sh", heading="After a restore")
    with httpx.Client(base_url=served.base_url, timeout=20) as http:
        ended = sign_in(http)["refresh_token"]
        console.run(as_in_containers(back_up, url), **in_the_container(url))
        http.post("/oauth/revoke", data={"token": ended, "client_id": "codelab-flutter-app"})
        console.paste("Export the audit log")
    at = (console.folder / "authserver.dump.time").read_text("utf-8").strip()

    try:
        console.run(as_in_containers(restore, url).replace("authserver_restored", name), **in_the_container(url))
        said = console.run(IN_CONTAINERS + after, AUTH_SERVICE__DB_URL=restored, BACKUP_TIME=at)
        assert flushes(restored)
    finally:
        psql(url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    assert len(re.findall(r"^sessions ended one by one +1$", said, re.MULTILINE)) == 2  # of a dry run, and then of none


def as_in_containers(script: str, url: str) -> str:
    """The lines for Compose, which runs them beside a database that has the server's name."""
    database = urlsplit(url).path.removeprefix("/")
    return IN_CONTAINERS + script.replace("--username=authserver", "").replace(" authserver > ", f" {database} > ")


def in_the_container(url: str) -> dict[str, str]:
    place = urlsplit(url)
    found = {"PGHOST": place.hostname, "PGPORT": str(place.port or ""), "PGUSER": place.username, "PGPASSWORD": place.password}
    return {name: value for name, value in found.items() if value}


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


@contextmanager
def again(served: Server, database_url: str, folder: Path) -> Iterator[httpx.Client]:
    """The same server on the restored database."""
    port = free_port()
    environment = served.environment | {"AUTH_SERVICE__PORT": str(port), "AUTH_SERVICE__DB_URL": database_url}
    url, command = f"http://localhost:{port}", server_command()
    with (
        serving(command, cwd=ROOT, environment=environment, log=folder / "log", ready_url=f"{url}/ready"),
        httpx.Client(base_url=url, timeout=20) as http,
    ):
        yield http


def test_who_may_do_much_is_found_and_the_database_gets_another_password(served: Server, console: Console) -> None:
    url = served.environment["AUTH_SERVICE__DB_URL"]

    assert console.paste("A copy of the database was stolen", DB_URL=url, NEW_PASSWORD="a new one") == '"username":"admin"\nALTER ROLE\n'
