"""The usual mix for a long time, with sessions that end all the while: memory, tables and latency stay as they are.

SOAK_MINUTES=5 makes it long. The others are bounds: of refusals, as a share of the answers; of what a process grows by in the whole
time, or in each hour of it; and of the p99 of the last third, beside that of the second.
"""

import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psycopg
import pytest

from tests.bench import phases
from tests.bench.cpu import pss_megabytes
from tests.bench.server import Site, Stores, fill, postmaster, production, running
from tests.e2e.servers import MODULES, ROOT, migrated_database
from tests.faults import soak
from tests.faults.cluster import Cluster
from tests.faults.soak import Slice
from tests.postgres import free_port
from tests.redis import redis_server

SOAK_MINUTES = float(os.environ.get("SOAK_MINUTES") or 0.04)
SOAK_REFUSED = float(os.environ.get("SOAK_REFUSED") or 1)
SOAK_GROWTH_MB = float(os.environ.get("SOAK_GROWTH_MB") or 50)
SOAK_P99 = float(os.environ.get("SOAK_P99") or 1000)
SIGN_INS_PER_SECOND = phases.STEADY_PER_SECOND / 4
SHORT = SOAK_MINUTES < 1
SLICES = 2 if SHORT else max(12, round(SOAK_MINUTES))
LIFETIME = 1 if SHORT else 30  # seconds of a session that nobody refreshes
# Those of a lifetime and of two slices, for each sweep comes somewhere within its own; and as many again, where a load catches up.
MOST_SESSIONS = 2 * SIGN_INS_PER_SECOND * (LIFETIME + 2 * 60 * SOAK_MINUTES / SLICES)
USERS = 1000
TABLES = ("oauth_session", "accounts_logincounter", "accounts_refusal", "accounts_auditevent")
PATIENCE_SECONDS = 60


@pytest.fixture
def soaked(cluster: Cluster, tmp_path: Path) -> Iterator[Site]:
    """A server as it is deployed, with users, on sessions that do not live long."""
    with migrated_database(cluster.url("authserver")) as url, redis_server() as redis:
        environment = production(tmp_path, port=free_port(), database_url=url, redis_url=redis.url)
        environment |= {"AUTH_SERVICE__REFRESH_TOKEN_LIFETIME": str(LIFETIME), "AUTH_SERVICE__DRAIN_SECONDS": "0"}
        secret = fill(environment, root=ROOT, users=USERS)
        port, log = int(environment["AUTH_SERVICE__PORT"]), tmp_path / "server.log"
        stores = Stores(url, redis.url, {"database": (postmaster(url),), "redis": (redis.pid,)})
        with running(MODULES["gunicorn"], environment, log, port=port, root=ROOT) as served:
            yield Site("soak", served, USERS, secret, stores, environment)


def test_memory_tables_and_latency_stay_as_they_are(soaked: Site, report: list[str]) -> None:
    slices = []
    try:
        for each in _slices(soaked):
            slices.append(each)
    finally:
        if slices:
            report.append(soak.table(slices))
    time.sleep(LIFETIME)
    with _sweeper(soaked) as last:
        removed = sum(each.removed for each in slices) + last()

    statuses = sum((each.statuses() for each in slices), Counter())
    assert [failure for each in slices for failure in each.measured.failures()] == []
    assert statuses["503"] <= SOAK_REFUSED * statuses.total()
    assert max(each.rows["oauth_session"] for each in slices) <= MOST_SESSIONS
    assert _rows(soaked)["oauth_session"] == 0
    assert removed == _opened(soaked)
    grown = {process: soak.growth(slices, process) for process in slices[0].megabytes}
    assert max(grown.values()) <= SOAK_GROWTH_MB * max(1, SOAK_MINUTES / 60), grown
    assert soak.p99_at_the_end(slices) <= SOAK_P99 * soak.p99_before(slices)


def _slices(site: Site) -> Iterator[Slice]:
    began_at = time.monotonic()
    plan = partial(soak.mix, lifetime=LIFETIME)
    for _ in range(SLICES):
        _let_a_round_be_due(site)
        with _sweeper(site) as sweeper:
            measured = phases.run(site, plan, seconds=60 * SOAK_MINUTES / SLICES, rate=phases.STEADY_PER_SECOND)
            removed = sweeper()
        yield Slice((time.monotonic() - began_at) / 60, measured, _megabytes(site), _rows(site), _on_disk(site), removed)


def _let_a_round_be_due(site: Site) -> None:
    """One of the server's own is done a day, and here one in each slice."""
    _query(site, "UPDATE oauth_housekeeping SET due_at = now()")


@contextmanager
def _sweeper(site: Site) -> Iterator[Callable[[], int]]:
    """`manage.py prune` at work. Gives what waits for it and tells how many sessions it has removed."""
    command = [sys.executable, "manage.py", "prune", "--keep-days", "0"]
    with subprocess.Popen(command, cwd=ROOT, env=site.environment, stdout=subprocess.PIPE, encoding="utf-8") as process:

        def removed() -> int:
            printed, _ = process.communicate(timeout=PATIENCE_SECONDS)
            assert process.returncode == 0, printed
            [number] = re.findall(r"^sessions +(\d+) removed", printed, re.MULTILINE)
            return int(number)

        yield removed


def _megabytes(site: Site) -> dict[str, float]:
    first, *others = pss_megabytes([site.served.pid], kind="Pss_Anon").values()
    return {"master": first} | {f"worker {number}": size for number, size in enumerate(others, 1)}


def _rows(site: Site) -> dict[str, int]:
    return {name: _query(site, f"SELECT count(*) FROM {name}") for name in TABLES}


def _on_disk(site: Site) -> float:
    return _query(site, "SELECT pg_total_relation_size('oauth_session')") / 2**20


def _opened(site: Site) -> int:
    """Each sign-in has opened one."""
    return _query(site, "SELECT count(*) FROM accounts_auditevent WHERE event = 'user:sign_in:succeeded'")


def _query(site: Site, sql: str) -> int:
    """The number that it asks for, or of the rows that it has written."""
    with psycopg.connect(site.database_url, autocommit=True) as connection:
        cursor = connection.execute(sql)
        return cursor.fetchone()[0] if cursor.description else cursor.rowcount
