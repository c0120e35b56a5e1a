"""A server on a database that keeps what it commits, and what was counted while it was ill-treated."""

import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from tests.e2e.servers import Server, authserver
from tests.faults.cluster import Cluster, cluster_in
from tests.faults.database import Database
from tests.faults.disk import small_disk
from tests.faults.processes import Gunicorn
from tests.faults.siege import Row, table
from tests.faults.site import Site
from tests.postgres import postgres

TABLES = pytest.StashKey[list[str]]()
ROWS = pytest.StashKey[list[Row]]()
DISK_MEBIBYTES, LOG_MEBIBYTES = 512, 64


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two worker processes on PostgreSQL with fsync, or one on SQLite."""
    with ExitStack() as running, pytest.MonkeyPatch.context() as patch:
        patch.setenv("no_proxy", "localhost,127.0.0.1")  # httpx would ask a developer's proxy for them
        url = running.enter_context(postgres(durable=True)) if os.environ.get("TEST_DB_URL") else ""
        yield running.enter_context(authserver(tmp_path_factory.mktemp("faults"), postgres_url=url))


@pytest.fixture(scope="session")
def gunicorn(server: Server) -> Gunicorn:
    return Gunicorn.serving(server.port)


@pytest.fixture(scope="session")
def database(gunicorn: Gunicorn) -> Database:
    return Database(gunicorn.variable("AUTH_SERVICE__DB_URL"))


@pytest.fixture(scope="session")
def http(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.base_url, timeout=20) as client:
        yield client


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL for these tests alone, on a disk that can be filled."""
    with small_disk(mebibytes=DISK_MEBIBYTES) as disk, cluster_in(disk) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def site(cluster: Cluster, rows: list[Row]) -> Iterator[Site]:
    """Two worker processes on it, which find the primary in either of its places, and log to a disk that can be filled too."""
    with ExitStack() as running, pytest.MonkeyPatch.context() as patch:
        patch.setenv("no_proxy", "localhost,127.0.0.1")
        folder = running.enter_context(small_disk(mebibytes=LOG_MEBIBYTES))
        variables = {
            "AUTH_SERVICE__RATE_LIMIT_PER_IP": "100000000/m",
            "AUTH_SERVICE__TRUSTED_PROXIES": "127.0.0.1/32",  # so that a flood can come from everywhere
            "AUTH_SERVICE__TOKEN_KEYS": secrets.token_urlsafe(48),
            "AUTH_SERVICE__EMAIL_URL": "smtp://127.0.0.1:1",  # where nobody listens
        }
        server = running.enter_context(authserver(folder, postgres_url=cluster.url("authserver"), **variables))
        http = running.enter_context(httpx.Client(base_url=server.base_url, timeout=20))
        database = Database(server.environment["AUTH_SERVICE__DB_URL"])
        yield Site(server, cluster, Gunicorn.serving(server.port), database, http, rows)


@pytest.fixture(scope="session")
def report(pytestconfig: pytest.Config) -> list[str]:
    """What is put here is printed at the end of the run, whether it went well or not."""
    return pytestconfig.stash.setdefault(TABLES, [])


@pytest.fixture(scope="session")
def rows(pytestconfig: pytest.Config) -> list[Row]:
    """The same for the lines of the summary."""
    return pytestconfig.stash.setdefault(ROWS, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for each in config.stash.get(TABLES, []):
        terminalreporter.write_line(f"\n{each}")
    if rows := config.stash.get(ROWS, []):
        terminalreporter.write_line(f"\n{table(rows)}")
