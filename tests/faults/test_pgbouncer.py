"""Behind PgBouncer in transaction mode, with fewer connections than requests under way, everything goes as without it."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.e2e.admin import admin_token
from tests.e2e.person import Page, Person
from tests.e2e.servers import ROOT, Server, run, server_command, serving
from tests.faults.pooler import documented_limits, pgbouncer
from tests.faults.processes import Gunicorn
from tests.faults.site import Site
from tests.postgres import free_port
from tests.threads import at_once

CONNECTIONS = 2


@pytest.fixture(scope="module")
def pooled(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Another server on the site's database, through a pooler."""
    folder = site.cluster.folder / "pooler"
    folder.mkdir()
    with ExitStack() as running:
        url = site.server.environment["AUTH_SERVICE__DB_URL"]
        dbname = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
        for statement in documented_limits():
            site.cluster.primary.query(statement.replace("DATABASE authserver", f"DATABASE {dbname}"))
        through = running.enter_context(pgbouncer(folder, url=site.cluster.primary.url(str(dbname)), connections=CONNECTIONS))
        port = free_port()
        environment = site.server.environment | {
            "AUTH_SERVICE__DB_URL": through,
            "AUTH_SERVICE__DB_BEHIND_POOLER": "true",
            "AUTH_SERVICE__PORT": str(port),
        }
        log = running.enter_context(
            serving(
                server_command(),
                cwd=ROOT,
                environment=environment,
                log=tmp_path_factory.mktemp("pooled") / "server.log",
                ready_url=f"http://localhost:{port}/ready",
            )
        )
        server = replace(site.server, port=port, log=log, environment=environment)
        http = running.enter_context(httpx.Client(base_url=server.base_url, timeout=20))
        yield replace(site, server=server, gunicorn=Gunicorn.serving(port), http=http)


def test_people_apps_and_staff_use_few_connections_at_the_same_time(pooled: Site, tmp_path: Path) -> None:
    row = pooled.row("PgBouncer, more requests than connections")
    headers = {"Authorization": f"Bearer {admin_token(pooled.server)}"}

    with pooled.siege(tmp_path).under_way(row):
        made = at_once(*(partial(make_user, pooled.server, headers, number) for number in range(8)))
        listed = httpx.get(f"{pooled.server.base_url}/api/v1/admin/users?limit=100", headers=headers, timeout=20)
        person = Person(pooled.server.base_url, login="user@example.com", password="password123")
        with person.browser:
            page = Page(person.browser.get("/sign-in").text)
            signed_in = person.send(page, "login", "password", login="user@example.com", password="password123")
            account = person.browser.get("/account")
        row.done += 1

    assert made == [201] * 8
    assert {f"pooled-{number}" for number in range(8)} <= {user["username"] for user in listed.json()["results"]}
    assert (signed_in.status_code, account.status_code) == (302, 200)
    assert row.refused == 0
    assert "Traceback" not in pooled.server.output()


def make_user(server: Server, headers: dict[str, str], number: int) -> int:
    body = {"username": f"pooled-{number}", "reason": "the pooler is tried"}
    return httpx.post(f"{server.base_url}/api/v1/admin/users", json=body, headers=headers, timeout=20).status_code


def test_commands_go_through_it_too(pooled: Site) -> None:
    """Some of them read what a cursor on the server would hold."""
    commands = ("audit_export", "export_users", "prune", "signing_keys")
    program = f"from django.core.management import call_command\nfor name in {commands}: call_command(name)"
    sign_in = {"grant_type": "password", "client_id": "codelab-flutter-app", "username": "user@example.com", "password": "password123"}
    assert pooled.http.post("/oauth/token", data=sign_in).status_code == 200

    printed = in_django(pooled.server, program)

    assert all(word in printed for word in ("user:sign_in:succeeded", "user@example.com", "active"))


def test_nothing_stays_set_on_the_connections_that_all_share(pooled: Site) -> None:
    """Whoever gets a connection next would wait as long as somebody else may."""
    program = (
        "from accounts.even_time import pace\nfrom django.core.management import call_command\n"
        "pace.reload()\ncall_command('prune')\ncall_command('migrate', verbosity=0)"
    )

    in_django(pooled.server, program)

    with ExitStack() as held:
        found = []
        for _ in range(CONNECTIONS):  # each holds its own until all have been looked at
            client = held.enter_context(psycopg.connect(pooled.server.environment["AUTH_SERVICE__DB_URL"], prepare_threshold=None))
            found.append(client.execute("SELECT current_setting('statement_timeout'), current_setting('lock_timeout')").fetchone())
    assert found == [("2s", "1s")] * CONNECTIONS


def in_django(server: Server, program: str) -> str:
    """What the program prints, with the settings of the server."""
    environment = server.environment | {"DJANGO_SETTINGS_MODULE": "authserver.settings"}
    return run([sys.executable, "-c", f"import django\ndjango.setup()\n{program}"], cwd=ROOT, environment=environment)
